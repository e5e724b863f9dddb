/*
 * The core of RPMsg-Lite's C interface (version 5) as Coracle's librpmsg_lite.a has it. Written for this library; a program
 * made for NXP's headers compiles with either. What each function does is documented in src/api.rs.
 */
#ifndef RPMSG_LITE_H_
#define RPMSG_LITE_H_

#include <stddef.h>
#include <stdint.h>

#include "rpmsg_config.h"
#include "rpmsg_env.h"

#if RL_USE_STATIC_API || RL_USE_ENVIRONMENT_CONTEXT || !RL_API_HAS_ZEROCOPY
#error "this library has the dynamic API with zero copy and without an environment context; see rpmsg_config.h"
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define RL_NULL       ((void *)0)
#define RL_TRUE       (1UL)
#define RL_FALSE      (0UL)
#define RL_ADDR_ANY   (0xFFFFFFFFU)
#define RL_RELEASE    (0)
#define RL_HOLD       (1)
#define RL_DONT_BLOCK (0)
#define RL_BLOCK      (~0UL)
#define RL_NO_FLAGS   (0U)

#define RL_SUCCESS       (0)
#define RL_ERRORS_BASE   (-5000)
#define RL_ERR_NO_MEM    (RL_ERRORS_BASE - 1)
#define RL_ERR_BUFF_SIZE (RL_ERRORS_BASE - 2)
#define RL_ERR_PARAM     (RL_ERRORS_BASE - 3)
#define RL_ERR_DEV_ID    (RL_ERRORS_BASE - 4)
#define RL_ERR_MAX_VQ    (RL_ERRORS_BASE - 5)
#define RL_ERR_NO_BUFF   (RL_ERRORS_BASE - 6)
#define RL_NOT_READY     (RL_ERRORS_BASE - 7)
#define RL_ALREADY_DONE  (RL_ERRORS_BASE - 8)

struct rpmsg_lite_instance;

typedef int32_t (*rl_ept_rx_cb_t)(void *payload, uint32_t payload_len, uint32_t src, void *priv);

struct rpmsg_lite_endpoint
{
    uint32_t addr;
    rl_ept_rx_cb_t rx_cb;
    void *rx_cb_data;
    void *rfu;
};

struct rpmsg_lite_instance *rpmsg_lite_master_init(void *shmem_addr, size_t shmem_length, uint32_t link_id,
                                                   uint32_t init_flags);
struct rpmsg_lite_instance *rpmsg_lite_remote_init(void *shmem_addr, uint32_t link_id, uint32_t init_flags);
int32_t rpmsg_lite_deinit(struct rpmsg_lite_instance *rpmsg_lite_dev);

struct rpmsg_lite_endpoint *rpmsg_lite_create_ept(struct rpmsg_lite_instance *rpmsg_lite_dev, uint32_t addr,
                                                  rl_ept_rx_cb_t rx_cb, void *rx_cb_data);
int32_t rpmsg_lite_destroy_ept(struct rpmsg_lite_instance *rpmsg_lite_dev, struct rpmsg_lite_endpoint *rl_ept);

int32_t rpmsg_lite_send(struct rpmsg_lite_instance *rpmsg_lite_dev, struct rpmsg_lite_endpoint *ept, uint32_t dst,
                        char *data, uint32_t size, uintptr_t timeout);
void *rpmsg_lite_alloc_tx_buffer(struct rpmsg_lite_instance *rpmsg_lite_dev, uint32_t *size, uintptr_t timeout);
int32_t rpmsg_lite_send_nocopy(struct rpmsg_lite_instance *rpmsg_lite_dev, struct rpmsg_lite_endpoint *ept,
                               uint32_t dst, void *data, uint32_t size);
int32_t rpmsg_lite_release_rx_buffer(struct rpmsg_lite_instance *rpmsg_lite_dev, void *rxbuf);

uint32_t rpmsg_lite_is_link_up(struct rpmsg_lite_instance *rpmsg_lite_dev);
uint32_t rpmsg_lite_wait_for_link_up(struct rpmsg_lite_instance *rpmsg_lite_dev, uint32_t timeout);

#ifdef __cplusplus
}
#endif

#endif /* RPMSG_LITE_H_ */
