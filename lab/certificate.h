/* What a node's certificate says besides its name. */
#ifndef LAB_CERTIFICATE_H
#define LAB_CERTIFICATE_H

#include "cluster-cfg/cluster.h"
#include "net/ca.h"

/* Issues what `node` needs, for its paths and the service addresses of its groups. As ca_issue. */
enum ts_err lab_certificate_issue(const struct cfg_cluster *cluster, const struct cfg_node *node,
                                  const char *ca, const char *tls, struct ca_validity validity,
                                  struct ts_why *why) TS_MUST_USE;

#endif
