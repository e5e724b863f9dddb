/* The queues of RPMsg-Lite's C interface; see rpmsg_lite.h and src/queue.rs. */
#ifndef RPMSG_QUEUE_H_
#define RPMSG_QUEUE_H_

#include "rpmsg_lite.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef void *rpmsg_queue_handle;

int32_t rpmsg_queue_rx_cb(void *payload, uint32_t payload_len, uint32_t src, void *priv);
rpmsg_queue_handle rpmsg_queue_create(struct rpmsg_lite_instance *rpmsg_lite_dev);
int32_t rpmsg_queue_destroy(struct rpmsg_lite_instance *rpmsg_lite_dev, rpmsg_queue_handle q);
int32_t rpmsg_queue_recv(struct rpmsg_lite_instance *rpmsg_lite_dev, rpmsg_queue_handle q, uint32_t *src, char *data,
                         uint32_t maxlen, uint32_t *len, uint32_t timeout);
int32_t rpmsg_queue_recv_nocopy(struct rpmsg_lite_instance *rpmsg_lite_dev, rpmsg_queue_handle q, uint32_t *src,
                                char **data, uint32_t *len, uint32_t timeout);
int32_t rpmsg_queue_nocopy_free(struct rpmsg_lite_instance *rpmsg_lite_dev, void *data);
int32_t rpmsg_queue_get_current_size(rpmsg_queue_handle q);

#ifdef __cplusplus
}
#endif

#endif /* RPMSG_QUEUE_H_ */
