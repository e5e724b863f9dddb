/*
 * What librpmsg_lite.a of Coracle is built for, in the terms of RPMsg-Lite's rpmsg_default_config.h. The archive cannot be
 * configured by changing this file: it tells programs that link it (and Coracle's bindings, which check it).
 */
#ifndef RPMSG_CONFIG_H_
#define RPMSG_CONFIG_H_

/* As NXP's examples for Linux: 256 buffers of 16 + 496 bytes in each direction. */
#define RL_BUFFER_PAYLOAD_SIZE (496U)
#define RL_BUFFER_COUNT        (256U)
#define VRING_SIZE             (0x8000UL)
#define VRING_ALIGN            (0x1000U)

#define RL_MS_PER_INTERVAL                    (1)
#define RL_ALLOW_CUSTOM_SHMEM_CONFIG          (0)
#define RL_ALLOW_CONSUMED_BUFFERS_NOTIFICATION (1)
#define RL_API_HAS_ZEROCOPY                   (1)
#define RL_USE_STATIC_API                     (0)
#define RL_USE_ENVIRONMENT_CONTEXT            (0)
#define RL_USE_DCACHE                         (0)
#define RL_USE_MCMGR_IPC_ISR_HANDLER          (0)
#define RL_CLEAR_USED_BUFFERS                 (0)
#define RL_DEBUG_CHECK_BUFFERS                (0)

#endif /* RPMSG_CONFIG_H_ */
