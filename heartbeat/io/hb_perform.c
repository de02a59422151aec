#include "heartbeat/io/hb_perform.h"

#include "base/assert.h"

static void send_heartbeat(struct hb_perform *p, const struct hb_effect *e, struct ts_mono now)
{
    struct hb_datagram content;
    uint8_t packet[HB_DATAGRAM_BYTES];
    struct ts_writer w = ts_writer_init(packet, HB_SIGNED_BYTES);
    hb_fill(&p->core, e, now, &content);
    enum ts_err err = hb_datagram_encode(&content, &w);
    ts_assert(err == TS_OK);
    if (p->ops->sign(p->ctx, packet)) {
        p->ops->send(p->ctx, e->peer, e->path, packet);
    }
}

static void publish(struct hb_perform *p, struct ts_mono now)
{
    struct hb_scratch *s = p->scratch;
    struct ts_writer w = ts_writer_init(s->report, sizeof(s->report));
    hb_report(&p->core, now, &s->peers);
    enum ts_err err = report_peers_encode(&s->peers, &w);
    ts_assert(err == TS_OK); /* the largest report fits, see REPORT_BYTES_MAX */
    p->ops->publish(p->ctx, (struct ts_bytes){s->report, w.len});
}

static void step(struct hb_perform *p, const struct hb_event *event)
{
    const struct hb_effects *fx = &p->scratch->effects;
    hb_step(&p->core, event, &p->scratch->effects);
    for (uint16_t i = 0; i < fx->count; i++) {
        const struct hb_effect *e = &fx->e[i];
        switch (e->kind) {
        case HB_EFFECT_SEND:
            send_heartbeat(p, e, event->now);
            break;
        case HB_EFFECT_PUBLISH:
            publish(p, event->now);
            break;
        case HB_EFFECT_TRACE:
            p->ops->trace(p->ctx, &e->trace);
            break;
        }
    }
}

void hb_perform_packet(struct hb_perform *p, uint8_t path, struct ts_bytes packet,
                       struct ts_mono now)
{
    struct hb_datagram content;
    enum ts_err err = hb_datagram_precheck(packet, p->core.cluster);
    if (err != TS_OK) {
        p->ops->rejected(p->ctx, err == TS_ERR_VERSION   ? HB_REJECT_VERSION
                                 : err == TS_ERR_REFUSED ? HB_REJECT_CLUSTER
                                                         : HB_REJECT_MALFORMED);
        return;
    }
    if (!p->ops->is_signed(p->ctx, packet.data)) {
        p->ops->rejected(p->ctx, HB_REJECT_TAG);
        return;
    }
    if (hb_datagram_decode(&content, packet) != TS_OK) {
        p->ops->rejected(p->ctx, HB_REJECT_CONTENT);
        return;
    }
    step(p, &(struct hb_event){
                .kind = HB_EVENT_DATAGRAM, .now = now, .path = path, .datagram = &content});
}

void hb_perform_local(struct hb_perform *p, struct ts_bytes datagram, struct ts_mono now)
{
    struct report_procs *procs = &p->scratch->procs;
    if (report_peek(datagram) != REPORT_PROCS || report_procs_decode(procs, datagram) != TS_OK ||
        !ts_nic_eq(procs->nic, p->core.self)) {
        p->ops->rejected(p->ctx, HB_REJECT_LOCAL);
        return;
    }
    step(p, &(struct hb_event){.kind = HB_EVENT_PROCS, .now = now, .procs = procs});
}

void hb_perform_tick(struct hb_perform *p, struct ts_mono now)
{
    step(p, &(struct hb_event){.kind = HB_EVENT_TICK, .now = now});
}
