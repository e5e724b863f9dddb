/* The name service of RPMsg-Lite's C interface; see rpmsg_lite.h and src/ns.rs. */
#ifndef RPMSG_NS_H_
#define RPMSG_NS_H_

#include "rpmsg_lite.h"

#ifdef __cplusplus
extern "C" {
#endif

#define RL_NS_EPT_ADDR (0x35u)

enum rpmsg_ns_flags
{
    RL_NS_CREATE  = 0,
    RL_NS_DESTROY = 1,
};

typedef void (*rpmsg_ns_new_ept_cb)(uint32_t new_ept, const char *new_ept_name, uint32_t flags, void *user_data);

struct rpmsg_ns_context
{
    struct rpmsg_lite_endpoint *ept;
    void *cb_ctxt;
};

typedef struct rpmsg_ns_context *rpmsg_ns_handle;

rpmsg_ns_handle rpmsg_ns_bind(struct rpmsg_lite_instance *rpmsg_lite_dev, rpmsg_ns_new_ept_cb app_cb, void *user_data);
int32_t rpmsg_ns_unbind(struct rpmsg_lite_instance *rpmsg_lite_dev, rpmsg_ns_handle handle);
int32_t rpmsg_ns_announce(struct rpmsg_lite_instance *rpmsg_lite_dev, struct rpmsg_lite_endpoint *new_ept,
                          const char *ept_name, uint32_t flags);

#ifdef __cplusplus
}
#endif

#endif /* RPMSG_NS_H_ */
