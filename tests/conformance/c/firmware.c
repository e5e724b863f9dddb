/*
 * A program as firmware for RPMsg-Lite is written: a platform layer like the ports of NXP's SDK, and both sides of a link
 * in one memory. It ends with 0 if all is as the interface says, else it says what is not.
 */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rpmsg_lite.h"
#include "rpmsg_ns.h"
#include "rpmsg_queue.h"

#define MASTER_LINK 0U
#define REMOTE_LINK 1U
#define SHMEM_BYTES (2U * VRING_SIZE + 2U * RL_BUFFER_COUNT * (RL_BUFFER_PAYLOAD_SIZE + 16U))

/* Where the memory is for the other core. */
#define ADDRESS 0x20000000UL

static _Alignas(64) char shmem[SHMEM_BYTES];

/* The platform layer. A kick is noted for the other side; interrupts happen in run(). */

static void *platform_lock;
static int isr_counter;
static int disable_counter;
static int platform_users;
static unsigned long delays;
static uint32_t pending[4];

static void run(void);

int32_t platform_init(void)
{
    platform_users++;
    return env_create_mutex(&platform_lock, 1);
}

int32_t platform_deinit(void)
{
    platform_users--;
    env_delete_mutex(platform_lock);
    platform_lock = NULL;
    return 0;
}

int32_t platform_init_interrupt(uint32_t vector_id, void *isr_data)
{
    env_register_isr(vector_id, isr_data);
    env_lock_mutex(platform_lock);
    isr_counter++;
    env_unlock_mutex(platform_lock);
    return 0;
}

int32_t platform_deinit_interrupt(uint32_t vector_id)
{
    isr_counter--;
    env_unregister_isr(vector_id);
    return 0;
}

int32_t platform_interrupt_enable(uint32_t vector_id)
{
    disable_counter--;
    return (int32_t)vector_id;
}

int32_t platform_interrupt_disable(uint32_t vector_id)
{
    disable_counter++;
    return (int32_t)vector_id;
}

static int in_isr;

int32_t platform_in_isr(void)
{
    return in_isr;
}

void platform_notify(uint32_t vector_id)
{
    /* Link 0 is the other end of link 1. */
    pending[vector_id ^ 2U]++;
}

/* While a call waits, the other side runs. */
void platform_time_delay(uint32_t num_msec)
{
    delays += num_msec;
    run();
}

uintptr_t platform_vatopa(void *addr)
{
    return (uintptr_t)((char *)addr - shmem) + ADDRESS;
}

void *platform_patova(uintptr_t addr)
{
    return addr - ADDRESS < SHMEM_BYTES ? shmem + (addr - ADDRESS) : NULL;
}

#if RL_ALLOW_CUSTOM_SHMEM_CONFIG
struct rpmsg_platform_shmem_config
{
    uint32_t buffer_payload_size;
    uint16_t buffer_count;
    uint32_t vring_size;
    uint32_t vring_align;
};

int32_t platform_get_custom_shmem_config(uint32_t link_id, struct rpmsg_platform_shmem_config *config)
{
    (void)link_id;
    config->buffer_payload_size = RL_BUFFER_PAYLOAD_SIZE;
    config->buffer_count        = RL_BUFFER_COUNT;
    config->vring_size          = VRING_SIZE;
    config->vring_align         = VRING_ALIGN;
    return 0;
}
#endif

static void run(void)
{
    uint32_t vector = 0;
    while (vector < 4U)
    {
        if (pending[vector] == 0U)
        {
            vector++;
            continue;
        }
        pending[vector]--;
        in_isr++;
        env_isr(vector);
        in_isr--;
        /* It may have kicked any. */
        vector = 0;
    }
}

/* The application. */

#define CHECK(condition)                                                 \
    do                                                                   \
    {                                                                    \
        if (!(condition))                                                \
        {                                                                \
            printf("firmware.c:%d: not so: %s\n", __LINE__, #condition); \
            exit(1);                                                     \
        }                                                                \
    } while (0)

static struct rpmsg_lite_instance *remote, *master;

struct seen
{
    char last[RL_BUFFER_PAYLOAD_SIZE];
    uint32_t len, src, count;
    void *held;
    int answer;
};

static int32_t on_message(void *payload, uint32_t payload_len, uint32_t src, void *priv)
{
    struct seen *seen = priv;
    memcpy(seen->last, payload, payload_len);
    seen->len = payload_len;
    seen->src = src;
    seen->count++;
    seen->held = payload;
    return seen->answer;
}

static struct rpmsg_lite_endpoint *echo_ept;

/* As the ping-pong example does: answers from the interrupt. */
static int32_t on_ping(void *payload, uint32_t payload_len, uint32_t src, void *priv)
{
    (void)priv;
    CHECK(in_isr > 0);
    CHECK(rpmsg_lite_send(remote, echo_ept, src, payload, payload_len, RL_DONT_BLOCK) == RL_SUCCESS);
    return RL_RELEASE;
}

struct announced
{
    uint32_t address, flags, count;
    char name[32];
};

static void on_channel(uint32_t new_ept, const char *new_ept_name, uint32_t flags, void *user_data)
{
    struct announced *announced = user_data;
    announced->address = new_ept;
    announced->flags = flags;
    announced->count++;
    strncpy(announced->name, new_ept_name, sizeof announced->name);
}

static void init(void)
{
    CHECK(rpmsg_lite_master_init(NULL, SHMEM_BYTES, MASTER_LINK, RL_NO_FLAGS) == NULL);
    CHECK(rpmsg_lite_master_init(shmem, SHMEM_BYTES - 1U, MASTER_LINK, RL_NO_FLAGS) == NULL);
    CHECK(rpmsg_lite_master_init(shmem, SHMEM_BYTES, 16U, RL_NO_FLAGS) == NULL);
    CHECK(rpmsg_lite_remote_init(NULL, REMOTE_LINK, RL_NO_FLAGS) == NULL);
    CHECK(rpmsg_lite_remote_init(shmem, 16U, RL_NO_FLAGS) == NULL);
    CHECK(platform_users == 0 && isr_counter == 0);

    remote = rpmsg_lite_remote_init(shmem, REMOTE_LINK, RL_NO_FLAGS);
    CHECK(remote != NULL);
    CHECK(rpmsg_lite_remote_init(shmem, REMOTE_LINK, RL_NO_FLAGS) == NULL);
    CHECK(rpmsg_lite_is_link_up(remote) == RL_FALSE);
    CHECK(rpmsg_lite_wait_for_link_up(remote, 3U) == RL_FALSE && delays == 3U);
    master = rpmsg_lite_master_init(shmem, SHMEM_BYTES, MASTER_LINK, RL_NO_FLAGS);
    CHECK(master != NULL && rpmsg_lite_is_link_up(master) == RL_TRUE);
    CHECK(pending[2] == 1U && pending[3] == 0U);
    CHECK(rpmsg_lite_wait_for_link_up(remote, 10U) == RL_TRUE && delays == 4U);
    CHECK(platform_users == 1 && isr_counter == 4);
}

static void arguments(void)
{
    struct seen seen = {.answer = RL_RELEASE};
    struct rpmsg_lite_endpoint *ept = rpmsg_lite_create_ept(master, 0x400U, on_message, &seen);
    uint32_t size = 77U;
    char data[4] = "abc";
    CHECK(ept != NULL && ept->addr == 0x400U && ept->rx_cb == on_message && ept->rx_cb_data == &seen);
    CHECK(rpmsg_lite_create_ept(NULL, 5U, on_message, &seen) == NULL);
    CHECK(rpmsg_lite_create_ept(master, 0x400U, on_message, &seen) == NULL);
    CHECK(rpmsg_lite_destroy_ept(NULL, ept) == RL_ERR_PARAM);
    CHECK(rpmsg_lite_destroy_ept(master, NULL) == RL_ERR_PARAM);
    CHECK(rpmsg_lite_destroy_ept(remote, ept) == RL_ERR_PARAM);
    CHECK(rpmsg_lite_send(NULL, ept, 1U, data, 4U, RL_BLOCK) == RL_ERR_PARAM);
    CHECK(rpmsg_lite_send(master, NULL, 1U, data, 4U, RL_BLOCK) == RL_ERR_PARAM);
    CHECK(rpmsg_lite_send(master, ept, 1U, NULL, 4U, RL_BLOCK) == RL_ERR_PARAM);
    CHECK(rpmsg_lite_send(remote, ept, 1U, data, 4U, RL_BLOCK) == RL_ERR_PARAM);
    CHECK(rpmsg_lite_send(master, ept, 1U, data, RL_BUFFER_PAYLOAD_SIZE + 1U, RL_BLOCK) == RL_ERR_BUFF_SIZE);
    CHECK(rpmsg_lite_send(master, ept, 1U, data, 0xFFFFFFFFU, RL_BLOCK) == RL_ERR_BUFF_SIZE);
    CHECK(rpmsg_lite_alloc_tx_buffer(master, NULL, RL_BLOCK) == NULL);
    CHECK(rpmsg_lite_send_nocopy(master, ept, 1U, NULL, 4U) == RL_ERR_PARAM);
    CHECK(rpmsg_lite_send_nocopy(master, ept, 1U, data, 4U) == RL_ERR_PARAM);
    CHECK(rpmsg_lite_release_rx_buffer(NULL, data) == RL_ERR_PARAM);
    CHECK(rpmsg_lite_release_rx_buffer(master, NULL) == RL_ERR_PARAM);
    CHECK(rpmsg_lite_release_rx_buffer(master, data) == RL_ERR_PARAM);
    CHECK(rpmsg_lite_deinit(NULL) == RL_ERR_PARAM);
    CHECK(rpmsg_queue_create(NULL) == NULL);
    CHECK(rpmsg_queue_destroy(master, NULL) == RL_ERR_PARAM);
    CHECK(rpmsg_queue_recv(master, NULL, NULL, data, 4U, NULL, 0U) == RL_ERR_PARAM);
    CHECK(rpmsg_queue_recv_nocopy(master, NULL, NULL, NULL, NULL, 0U) == RL_ERR_PARAM);
    CHECK(rpmsg_queue_nocopy_free(master, NULL) == RL_ERR_PARAM);
    CHECK(rpmsg_queue_get_current_size(NULL) == RL_ERR_PARAM);
    CHECK(rpmsg_ns_bind(master, NULL, NULL) == NULL);
    CHECK(rpmsg_ns_announce(master, ept, NULL, RL_NS_CREATE) == RL_ERR_PARAM);
    CHECK(rpmsg_ns_announce(master, NULL, "name", RL_NS_CREATE) == RL_ERR_PARAM);
    CHECK(rpmsg_lite_destroy_ept(master, ept) == RL_SUCCESS);
    CHECK(rpmsg_lite_destroy_ept(master, ept) == RL_ERR_PARAM);
    CHECK(size == 77U && seen.count == 0U);
}

static void ping_pong(void)
{
    struct seen seen = {.answer = RL_RELEASE};
    struct rpmsg_lite_endpoint *ept = rpmsg_lite_create_ept(master, RL_ADDR_ANY, on_message, &seen);
    char data[RL_BUFFER_PAYLOAD_SIZE];
    echo_ept = rpmsg_lite_create_ept(remote, 30U, on_ping, NULL);
    CHECK(ept != NULL && ept->addr == 1U && echo_ept != NULL);
    for (uint32_t len = 0; len <= RL_BUFFER_PAYLOAD_SIZE; len++)
    {
        memset(data, (int)len, sizeof data);
        CHECK(rpmsg_lite_send(master, ept, 30U, data, len, RL_BLOCK) == RL_SUCCESS);
        run();
        CHECK(seen.count == len + 1U && seen.len == len && seen.src == 30U && memcmp(seen.last, data, len) == 0);
    }
    /* More than the ring holds, waiting for each buffer. */
    for (uint32_t number = 0; number < 3U * RL_BUFFER_COUNT; number++)
    {
        CHECK(rpmsg_lite_send(master, ept, 30U, data, 8U, RL_BLOCK) == RL_SUCCESS);
    }
    run();
    CHECK(seen.count == RL_BUFFER_PAYLOAD_SIZE + 1U + 3U * RL_BUFFER_COUNT);
    CHECK(rpmsg_lite_destroy_ept(remote, echo_ept) == RL_SUCCESS);
    CHECK(rpmsg_lite_destroy_ept(master, ept) == RL_SUCCESS);
}

static void full_ring(void)
{
    struct seen seen = {.answer = RL_HOLD};
    struct rpmsg_lite_endpoint *from = rpmsg_lite_create_ept(remote, 40U, on_message, &seen);
    struct rpmsg_lite_endpoint *to = rpmsg_lite_create_ept(master, 40U, on_message, &seen);
    void *held[RL_BUFFER_COUNT];
    char data[4] = "abc";
    uint32_t size;
    for (uint32_t number = 0; number < RL_BUFFER_COUNT; number++)
    {
        CHECK(rpmsg_lite_send(remote, from, 40U, data, 4U, RL_DONT_BLOCK) == RL_SUCCESS);
        run();
        held[number] = seen.held;
    }
    CHECK(seen.count == RL_BUFFER_COUNT);
    CHECK(rpmsg_lite_send(remote, from, 40U, data, 4U, RL_DONT_BLOCK) == RL_ERR_NO_MEM);
    delays = 0;
    CHECK(rpmsg_lite_send(remote, from, 40U, data, 4U, 5U) == RL_ERR_NO_MEM && delays == 5U);
    CHECK(rpmsg_lite_alloc_tx_buffer(remote, &size, 2U) == NULL && size == 0U);
    for (uint32_t number = 0; number < RL_BUFFER_COUNT; number++)
    {
        /* 3 * number is every number once: the count is a power of two. */
        void *payload = held[3U * number % RL_BUFFER_COUNT];
        CHECK(memcmp(payload, data, 4U) == 0);
        CHECK(rpmsg_lite_release_rx_buffer(master, payload) == RL_SUCCESS);
        CHECK(rpmsg_lite_release_rx_buffer(master, payload) == RL_ERR_PARAM);
    }
    CHECK(rpmsg_lite_send(remote, from, 40U, data, 4U, RL_DONT_BLOCK) == RL_SUCCESS);
    run();
    CHECK(rpmsg_lite_release_rx_buffer(master, seen.held) == RL_SUCCESS);
    CHECK(rpmsg_lite_destroy_ept(remote, from) == RL_SUCCESS);
    CHECK(rpmsg_lite_destroy_ept(master, to) == RL_SUCCESS);
}

static void zero_copy(void)
{
    struct seen seen = {.answer = RL_RELEASE};
    struct rpmsg_lite_endpoint *from = rpmsg_lite_create_ept(master, 50U, on_message, &seen);
    struct rpmsg_lite_endpoint *to = rpmsg_lite_create_ept(remote, 50U, on_message, &seen);
    for (uint32_t number = 0; number < 2U * RL_BUFFER_COUNT; number++)
    {
        uint32_t size = 0;
        char *data = rpmsg_lite_alloc_tx_buffer(master, &size, RL_DONT_BLOCK);
        CHECK(data >= shmem && data + size <= shmem + SHMEM_BYTES && size == RL_BUFFER_PAYLOAD_SIZE);
        memset(data, (int)number, size);
        CHECK(rpmsg_lite_send_nocopy(master, from, 50U, data, size + 1U) == RL_ERR_BUFF_SIZE);
        CHECK(rpmsg_lite_send_nocopy(remote, to, 50U, data, size) == RL_ERR_PARAM);
        CHECK(rpmsg_lite_send_nocopy(master, from, 50U, data, size) == RL_SUCCESS);
        CHECK(rpmsg_lite_send_nocopy(master, from, 50U, data, size) == RL_ERR_PARAM);
        run();
        CHECK(seen.count == number + 1U && seen.len == size && seen.last[size - 1U] == (char)number);
    }
    CHECK(rpmsg_lite_destroy_ept(master, from) == RL_SUCCESS);
    CHECK(rpmsg_lite_destroy_ept(remote, to) == RL_SUCCESS);
}

static void queues(void)
{
    rpmsg_queue_handle queue = rpmsg_queue_create(remote), other = rpmsg_queue_create(remote);
    struct rpmsg_lite_endpoint *from = rpmsg_lite_create_ept(master, 60U, on_message, NULL);
    struct rpmsg_lite_endpoint *to = rpmsg_lite_create_ept(remote, 60U, rpmsg_queue_rx_cb, queue);
    struct rpmsg_lite_endpoint *to_other = rpmsg_lite_create_ept(remote, 61U, rpmsg_queue_rx_cb, other);
    char data[16], *place;
    uint32_t src, len;
    CHECK(queue != NULL && other != NULL && queue != other && to_other != NULL);
    CHECK(rpmsg_queue_recv(remote, queue, &src, data, sizeof data, &len, 0U) == RL_ERR_NO_BUFF);
    delays = 0;
    CHECK(rpmsg_queue_recv(remote, queue, &src, data, sizeof data, &len, 4U) == RL_ERR_NO_BUFF && delays == 4U);
    for (int number = 0; number < 3; number++)
    {
        CHECK(rpmsg_lite_send(master, from, 60U, (char[]){'a', (char)number}, 2U, RL_BLOCK) == RL_SUCCESS);
        CHECK(rpmsg_lite_send(master, from, 61U, (char[]){'b', (char)number}, 2U, RL_BLOCK) == RL_SUCCESS);
    }
    run();
    CHECK(rpmsg_queue_get_current_size(queue) == 3 && rpmsg_queue_get_current_size(other) == 3);
    CHECK(rpmsg_queue_recv(remote, queue, &src, data, sizeof data, &len, 0U) == RL_SUCCESS);
    CHECK(src == 60U && len == 2U && data[0] == 'a' && data[1] == 0);
    CHECK(rpmsg_queue_recv_nocopy(remote, queue, &src, &place, &len, 0xFFFFFFFFU) == RL_SUCCESS);
    CHECK(src == 60U && len == 2U && place[0] == 'a' && place[1] == 1);
    CHECK(rpmsg_queue_recv(remote, queue, &src, data, 1U, &len, 0U) == RL_ERR_BUFF_SIZE && len == 2U);
    CHECK(rpmsg_queue_get_current_size(queue) == 0);
    CHECK(rpmsg_queue_nocopy_free(remote, place) == RL_SUCCESS);
    CHECK(rpmsg_queue_nocopy_free(remote, place) == RL_ERR_PARAM);
    CHECK(rpmsg_queue_recv(remote, other, NULL, data, sizeof data, NULL, 0U) == RL_SUCCESS && data[0] == 'b');
    /* Received while waiting. */
    CHECK(rpmsg_lite_send(master, from, 60U, "late", 4U, RL_BLOCK) == RL_SUCCESS);
    CHECK(rpmsg_queue_recv(remote, queue, &src, data, sizeof data, &len, 0xFFFFFFFFU) == RL_SUCCESS && len == 4U);
    CHECK(rpmsg_lite_destroy_ept(remote, to) == RL_SUCCESS && rpmsg_lite_destroy_ept(remote, to_other) == RL_SUCCESS);
    CHECK(rpmsg_queue_destroy(remote, queue) == RL_SUCCESS);
    CHECK(rpmsg_queue_destroy(remote, other) == RL_SUCCESS);
    CHECK(rpmsg_lite_destroy_ept(master, from) == RL_SUCCESS);
}

static void name_service(void)
{
    struct announced announced = {0};
    rpmsg_ns_handle handle = rpmsg_ns_bind(master, on_channel, &announced);
    struct rpmsg_lite_endpoint *ept = rpmsg_lite_create_ept(remote, 70U, on_message, NULL);
    CHECK(handle != NULL && handle->ept->addr == RL_NS_EPT_ADDR);
    CHECK(rpmsg_lite_create_ept(master, RL_NS_EPT_ADDR, on_message, NULL) == NULL);
    CHECK(rpmsg_ns_announce(remote, ept, "rpmsg-openamp-demo-channel", RL_NS_CREATE) == RL_SUCCESS);
    run();
    CHECK(announced.count == 1U && announced.address == 70U && announced.flags == RL_NS_CREATE);
    CHECK(strcmp(announced.name, "rpmsg-openamp-demo-channel") == 0);
    CHECK(rpmsg_ns_announce(remote, ept, "a name that is longer than thirty-one bytes", RL_NS_DESTROY) == RL_SUCCESS);
    run();
    CHECK(announced.count == 2U && announced.flags == RL_NS_DESTROY && strlen(announced.name) == 31U);
    /* Not an announcement. */
    CHECK(rpmsg_lite_send(remote, ept, RL_NS_EPT_ADDR, "short", 5U, RL_BLOCK) == RL_SUCCESS);
    run();
    CHECK(announced.count == 2U);
    CHECK(rpmsg_ns_unbind(master, handle) == RL_SUCCESS);
    CHECK(rpmsg_ns_announce(remote, ept, "unheard", RL_NS_CREATE) == RL_SUCCESS);
    run();
    CHECK(announced.count == 2U);
    /* What goes over the wire: 40 bytes, of which the name's last is 0 however long the name was. */
    struct seen seen = {.answer = RL_RELEASE};
    struct rpmsg_lite_endpoint *listener = rpmsg_lite_create_ept(master, RL_NS_EPT_ADDR, on_message, &seen);
    CHECK(rpmsg_ns_announce(remote, ept, "a name that is longer than thirty-one bytes", RL_NS_DESTROY) == RL_SUCCESS);
    run();
    CHECK(seen.count == 1U && seen.len == 40U && seen.src == 70U);
    CHECK(memcmp(seen.last, "a name that is longer than thir\0F\0\0\0\1\0\0", 40U) == 0);
    CHECK(rpmsg_lite_destroy_ept(master, listener) == RL_SUCCESS);
    CHECK(rpmsg_lite_destroy_ept(remote, ept) == RL_SUCCESS);
}

/* A master may offer buffers that are shorter than the configuration says. */
static void short_buffers(void)
{
    struct rpmsg_lite_endpoint *ept = rpmsg_lite_create_ept(remote, 80U, on_message, NULL);
    char data[16] = {0};
    uint32_t size = 0, length = 16U + 8U;
    for (uint32_t id = 0; id < RL_BUFFER_COUNT; id++)
    {
        memcpy(shmem + 16U * id + 8U, &length, sizeof length);
    }
    CHECK(rpmsg_lite_send(remote, ept, 1U, data, 9U, RL_DONT_BLOCK) == RL_ERR_BUFF_SIZE);
    void *buffer = rpmsg_lite_alloc_tx_buffer(remote, &size, RL_DONT_BLOCK);
    CHECK(buffer != NULL && size == 8U);
    CHECK(rpmsg_lite_send_nocopy(remote, ept, 1U, buffer, 9U) == RL_ERR_BUFF_SIZE);
    CHECK(rpmsg_lite_send_nocopy(remote, ept, 1U, buffer, 8U) == RL_SUCCESS);
    CHECK(rpmsg_lite_destroy_ept(remote, ept) == RL_SUCCESS);
}

int main(void)
{
    /* A call that waits for ever ends the program. */
    alarm(60);
    for (int life = 0; life < 3; life++)
    {
        init();
        arguments();
        ping_pong();
        full_ring();
        zero_copy();
        queues();
        name_service();
        short_buffers();
        CHECK(rpmsg_lite_deinit(master) == RL_SUCCESS);
        CHECK(rpmsg_lite_deinit(remote) == RL_SUCCESS);
        CHECK(rpmsg_lite_deinit(remote) == RL_ERR_PARAM);
        CHECK(platform_users == 0 && isr_counter == 0 && disable_counter == 0);
        memset(pending, 0, sizeof pending);
        delays = 0;
    }
    return 0;
}
