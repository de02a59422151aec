/* The walk and the load of kv, as the service contract has them (svc.h). */
#ifndef SERVICES_KV_WALK_H
#define SERVICES_KV_WALK_H

#include "services/svc.h"

struct kv_walk;

/* What a state needs to be walked, made with it: a large allocation later may take the longer the
 * more was freed before. NULL when memory is short. */
struct kv_walk *kv_walk_new(void);
void kv_walk_free(struct kv_walk *walk);

struct svc_walk *kv_walk_begin(void *state);
bool kv_walk_next(struct svc_walk *walk, struct svc_out *out) TS_MUST_USE;
void kv_walk_end(struct svc_walk *walk);

enum ts_err kv_load_piece(void *state, struct ts_bytes piece) TS_MUST_USE;
enum ts_err kv_load_end(void *state) TS_MUST_USE;

#endif
