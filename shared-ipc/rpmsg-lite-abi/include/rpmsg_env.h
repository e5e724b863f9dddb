/* What ports of the platform layer use of RPMsg-Lite's environment layer; see src/env.rs. */
#ifndef RPMSG_ENV_H_
#define RPMSG_ENV_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

void env_isr(uint32_t vector);
void env_register_isr(uint32_t vector_id, void *data);
void env_unregister_isr(uint32_t vector_id);
int32_t env_create_mutex(void **lock, int32_t count);
void env_delete_mutex(void *lock);
void env_lock_mutex(void *lock);
void env_unlock_mutex(void *lock);

#ifdef __cplusplus
}
#endif

#endif /* RPMSG_ENV_H_ */
