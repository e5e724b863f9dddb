/*
 * The guest interface of Coracle for C: every import beside those of WASI (coracle_wasi.h).
 *
 * Made from shared-ipc/guest-abi/wit/coracle.wit by `cargo xtask bless`; do not edit.
 *
 * A function gives 0 or more for success (a number, a handle, the whole length of what was written, also if it did not
 * fit), less for a negated `enum coracle_errno`, whose numbers are those of Linux. Buffers are the caller's. A function
 * that may park stops this container until it has its result, and nothing else.
 *
 * A guest exports either `init` and `on_event`, or `_start`:
 *
 *     CORACLE_EXPORT("init") int32_t init(void);
 *     CORACLE_EXPORT("on_event") int32_t on_event(int32_t kind, int32_t source, int32_t len);
 *     CORACLE_EXPORT("_start") void _start(void);
 */
#ifndef CORACLE_H
#define CORACLE_H

#include <stddef.h>
#include <stdint.h>

#define CORACLE_EXPORT(name) __attribute__((export_name(name)))
#define CORACLE_IMPORT(module, name) __attribute__((import_module(module), import_name(name)))

/* Writes a string literal to the log. */
#define CORACLE_LOG(level, literal) coracle_log_write((level), (literal), sizeof(literal) - 1)

#define CORACLE_FOR_EVER ((int64_t)-1)

/* Longest name of a container, topic, sensor, pin, bus or reason. */
#define CORACLE_NAME_BYTES_MAX 31

/* Longest configuration value. */
#define CORACLE_CONFIG_VALUE_BYTES_MAX 63

/* Longest payload of a message, and longest bus transfer. */
#define CORACLE_MESSAGE_BYTES_MAX 192

/* Longest payload of a wake. */
#define CORACLE_WAKE_BYTES_MAX 8192

/* Longest log line. */
#define CORACLE_LOG_BYTES_MAX 160

/* Most samples in a sensor block. */
#define CORACLE_BLOCK_SAMPLES_MAX 512

/* Results, negated. */
enum coracle_errno {
    CORACLE_NO_ENTRY = 2, /* a name that is not known here */
    CORACLE_IO = 5, /* the device or its bus failed */
    CORACLE_NO_DEVICE = 6, /* nobody answered at that address, or the device is gone */
    CORACLE_BAD_HANDLE = 9, /* a handle that is not open */
    CORACLE_AGAIN = 11, /* not now: try at the next event */
    CORACLE_DENIED = 13, /* the manifest does not grant this */
    CORACLE_FAULT = 14, /* an address or length outside the guest's memory */
    CORACLE_BUSY = 16, /* somebody else holds it alone */
    CORACLE_INVALID = 22, /* an argument that can never be right */
    CORACLE_NO_SPACE = 28, /* a quota or limit of the manifest is used up */
    CORACLE_NOT_HERE = 52, /* this core cannot do it */
    CORACLE_TOO_LARGE = 90, /* longer than the limit of the call */
    CORACLE_TIMED_OUT = 110, /* the time is over */
    CORACLE_REMOTE_IO = 121, /* the device answered and refused */
};

/* What `kind` of an event is. */
enum coracle_event_kind {
    CORACLE_EVENT_SENSOR = 1,
    CORACLE_EVENT_MESSAGE = 2,
    CORACLE_EVENT_WAKE = 3,
    CORACLE_EVENT_TIMER = 4,
    CORACLE_EVENT_CONFIG = 5,
    CORACLE_EVENT_PIN = 6,
    CORACLE_EVENT_REQUEST = 7,
    CORACLE_EVENT_REPLY = 8,
};

/* coracle:log@1 */

enum coracle_level {
    CORACLE_LOG_ERROR = 1,
    CORACLE_LOG_WARN = 2,
    CORACLE_LOG_INFO = 3,
    CORACLE_LOG_DEBUG = 4,
};

/* Writes a line of UTF-8. A line over 160 bytes is cut; more lines a second than `limits.logs_per_second` are
 * dropped and counted. */
CORACLE_IMPORT("coracle:log@1", "write")
int32_t coracle_log_write(enum coracle_level level, const char *text, size_t text_len);

/* coracle:config@1 */

/* The value under `key` in the manifest's `config`. */
CORACLE_IMPORT("coracle:config@1", "get")
int32_t coracle_config_get(const char *key, size_t key_len, char *buffer, size_t buffer_size);

/* Counts the changes of the configuration since the container was created. Each one is also an event. */
CORACLE_IMPORT("coracle:config@1", "version")
uint32_t coracle_config_version(void);

/* coracle:event@1 */

/* What happened. `kind`, `source` and `len` are also the arguments of the export `on_event`. */
struct coracle_event {
    /* 1 sensor block, 2 message, 3 wake, 4 timer, 5 configuration, 6 pin, 7 request, 8 reply. */
    uint32_t kind;
    /* Of a sensor block or pin: its handle. Of a message or request: the topic's index among the subscribed ones. Of a
     * timer: the timer. Of a reply: 0, or the `errno` for which there is none. */
    uint32_t source;
    /* Bytes of the payload; of a sensor block: samples. */
    uint32_t len;
    /* Of a pin: its level. Of a request or reply: the request's number. Otherwise 0. */
    uint32_t tag;
    /* When it happened, in microseconds of its source's clock. */
    uint64_t time_us;
};
_Static_assert(sizeof(struct coracle_event) == 24, "struct coracle_event has no gaps");

/* The payload of the event being handled. */
CORACLE_IMPORT("coracle:event@1", "read")
int32_t coracle_event_read(void *buffer, size_t buffer_size);

/* The event being handled. */
CORACLE_IMPORT("coracle:event@1", "current")
int32_t coracle_event_current(struct coracle_event *event);

/* Waits for the next event of the kinds in the bit set `kinds` (bit 1 is kind 1; 0 means every kind) and makes it
 * the one being handled. A negative `timeout_us` waits for ever. May park; only within the export `_start`. */
CORACLE_IMPORT("coracle:event@1", "wait")
int32_t coracle_event_wait(uint32_t kinds, int64_t timeout_us, struct coracle_event *event);

/* coracle:time@1 */

/* Microseconds since the container was created. Never goes back: not over sleep, not over migration, during which
 * it stands still. */
CORACLE_IMPORT("coracle:time@1", "now")
uint64_t coracle_time_now(void);

/* Sets a timer that becomes an event after `delay_us`, then every `period_us` unless that is 0. The core may be up
 * to `slack_us` late to wake once for several timers. */
CORACLE_IMPORT("coracle:time@1", "set_timer")
int32_t coracle_time_set_timer(uint64_t delay_us, uint64_t period_us, uint64_t slack_us);

/* Ends a timer. Events of it that wait are still delivered. */
CORACLE_IMPORT("coracle:time@1", "cancel")
int32_t coracle_time_cancel(uint32_t timer);

/* Microseconds until the timer becomes an event. */
CORACLE_IMPORT("coracle:time@1", "remaining")
int64_t coracle_time_remaining(uint32_t timer);

/* Waits. May park. */
CORACLE_IMPORT("coracle:time@1", "sleep")
int32_t coracle_time_sleep(uint64_t duration_us);

/* coracle:sensor@1 */

struct coracle_sensor_info {
    /* Samples a second that this container gets. */
    uint32_t rate_hz;
    /* Samples a second that the manifest allows it. */
    uint32_t rate_max_hz;
    /* Samples in a block. */
    uint32_t block;
    /* What one count is, in billionths of the sensor's unit. */
    uint32_t scale_nano;
    /* 0 unknown, 1 m/s2, 2 degrees Celsius, 3 pascal, 4 volt, 5 per cent. */
    uint32_t unit;
};
_Static_assert(sizeof(struct coracle_sensor_info) == 20, "struct coracle_sensor_info has no gaps");

struct coracle_sensor_block_header {
    /* Time of the first sample, in microseconds of the sensor's clock. */
    uint64_t timestamp_us;
    /* Counts blocks from 0; a jump shows lost blocks. */
    uint32_t sequence;
    /* Samples a second. */
    uint32_t rate_hz;
    /* Samples lost so far because nobody took them in time. */
    uint32_t dropped;
    /* Samples that follow. */
    uint32_t count;
};
_Static_assert(sizeof(struct coracle_sensor_block_header) == 24, "struct coracle_sensor_block_header has no gaps");

/* The handle of a sensor that the manifest grants. Its blocks are events from the container's start on. */
CORACLE_IMPORT("coracle:sensor@1", "open")
int32_t coracle_sensor_open(const char *name, size_t name_len);

/* Ends the use of a handle; blocks of the sensor are no events any more. */
CORACLE_IMPORT("coracle:sensor@1", "close")
int32_t coracle_sensor_close(uint32_t sensor);

/* What the sensor gives. May park. */
CORACLE_IMPORT("coracle:sensor@1", "info")
int32_t coracle_sensor_info(uint32_t sensor, struct coracle_sensor_info *sensor_info);

/* The block of the event being handled. Returns how many samples were written; the header says how many there are.
 * Blocks that a threshold held back are missing in `sequence`; `dropped` counts those that were lost. */
CORACLE_IMPORT("coracle:sensor@1", "read_block")
int32_t coracle_sensor_read_block(uint32_t sensor, struct coracle_sensor_block_header *block_header, int16_t *samples,
                                  size_t samples_max);

/* Asks for `rate_hz` samples a second; returns that, or what is granted if it is less. A sensor that gives fewer gives
 * no more for it: the header of a block has the rate that it is. */
CORACLE_IMPORT("coracle:sensor@1", "set_rate")
int32_t coracle_sensor_set_rate(uint32_t sensor, uint32_t rate_hz);

/* From now on a block is an event if one of its samples is below `low` or above `high`. `low` above `high`: never. */
CORACLE_IMPORT("coracle:sensor@1", "set_threshold")
int32_t coracle_sensor_set_threshold(uint32_t sensor, int32_t low, int32_t high);

/* coracle:gpio@1 */

/* The handle of a pin that the manifest grants, by its label; the mode is the manifest's. */
CORACLE_IMPORT("coracle:gpio@1", "open")
int32_t coracle_gpio_open(const char *label, size_t label_len);

/* Ends the use of a handle. */
CORACLE_IMPORT("coracle:gpio@1", "close")
int32_t coracle_gpio_close(uint32_t pin);

/* 1 when the pin is high. May park. */
CORACLE_IMPORT("coracle:gpio@1", "read")
int32_t coracle_gpio_read(uint32_t pin);

/* Sets an output pin: 0 low, 1 high. May park. */
CORACLE_IMPORT("coracle:gpio@1", "write")
int32_t coracle_gpio_write(uint32_t pin, uint32_t high);

/* Makes edges of an input pin events: 0 none, 1 rising, 2 falling, 3 both. A level counts once it has lasted
 * `debounce_us`. May park. */
CORACLE_IMPORT("coracle:gpio@1", "watch")
int32_t coracle_gpio_watch(uint32_t pin, uint32_t edges, uint32_t debounce_us);

/* coracle:i2c@1 */

/* The handle of a bus that the manifest grants. */
CORACLE_IMPORT("coracle:i2c@1", "open")
int32_t coracle_i2c_open(const char *bus, size_t bus_len);

/* Ends the use of a handle. */
CORACLE_IMPORT("coracle:i2c@1", "close")
int32_t coracle_i2c_close(uint32_t bus);

/* Writes, then, after a repeated start, reads until the buffer is full; either may be empty. `address` has seven
 * bits and is one of those granted. May park. */
CORACLE_IMPORT("coracle:i2c@1", "write_read")
int32_t coracle_i2c_write_read(uint32_t bus, uint32_t address, const void *bytes, size_t bytes_len, void *buffer,
                               size_t buffer_size);

/* coracle:spi@1 */

/* The handle of a device that the manifest grants; bus, chip select and mode are the board's. */
CORACLE_IMPORT("coracle:spi@1", "open")
int32_t coracle_spi_open(const char *device, size_t device_len);

/* Ends the use of a handle. */
CORACLE_IMPORT("coracle:spi@1", "close")
int32_t coracle_spi_close(uint32_t device);

/* One transaction: writes and reads at the same time, for as long as the longer of the two; what is written beyond
 * the bytes given is 0. May park. */
CORACLE_IMPORT("coracle:spi@1", "transfer")
int32_t coracle_spi_transfer(uint32_t device, const void *bytes, size_t bytes_len, void *buffer, size_t buffer_size);

/* coracle:msg@1 */

/* Publishes on a topic. Who publishes and who subscribes may be on different cores; messages of a topic arrive in
 * the order in which they were published. */
CORACLE_IMPORT("coracle:msg@1", "publish")
int32_t coracle_msg_publish(const char *topic, size_t topic_len, const void *payload, size_t payload_len);

/* Publishes and keeps the payload as the topic's value: who subscribes later gets it at once. An empty payload
 * removes it. */
CORACLE_IMPORT("coracle:msg@1", "publish_retained")
int32_t coracle_msg_publish_retained(const char *topic, size_t topic_len, const void *payload, size_t payload_len);

/* The index of a topic that the manifest lets it subscribe. All of them are subscribed from the start; this undoes
 * `unsubscribe`, and delivers the topic's retained value again. */
CORACLE_IMPORT("coracle:msg@1", "subscribe")
int32_t coracle_msg_subscribe(const char *topic, size_t topic_len);

/* Messages on the topic are no events any more. */
CORACLE_IMPORT("coracle:msg@1", "unsubscribe")
int32_t coracle_msg_unsubscribe(const char *topic, size_t topic_len);

/* Publishes a request; the first answer becomes an event, or an event says that there was none within `timeout_us`.
 * Returns the request's number. */
CORACLE_IMPORT("coracle:msg@1", "request")
int32_t coracle_msg_request(const char *topic, size_t topic_len, const void *payload, size_t payload_len,
                            uint64_t timeout_us);

/* Answers the request being handled. */
CORACLE_IMPORT("coracle:msg@1", "reply")
int32_t coracle_msg_reply(const void *payload, size_t payload_len);

/* `event.wait` for messages, requests and replies alone. May park; only within the export `_start`. */
CORACLE_IMPORT("coracle:msg@1", "wait")
int32_t coracle_msg_wait(int64_t timeout_us, struct coracle_event *event);

/* coracle:kv@1 */

/* The value under `key`. */
CORACLE_IMPORT("coracle:kv@1", "get")
int32_t coracle_kv_get(const char *key, size_t key_len, void *buffer, size_t buffer_size);

/* Stores a value. It is durable, and moves with the container, once the event being handled is done. */
CORACLE_IMPORT("coracle:kv@1", "set")
int32_t coracle_kv_set(const char *key, size_t key_len, const void *value, size_t value_len);

/* Removes a value. */
CORACLE_IMPORT("coracle:kv@1", "delete")
int32_t coracle_kv_delete(const char *key, size_t key_len);

/* The key that follows `key` in byte order; the first one for an empty `key`. */
CORACLE_IMPORT("coracle:kv@1", "next")
int32_t coracle_kv_next(const char *key, size_t key_len, char *buffer, size_t buffer_size);

/* coracle:wake@1 */

/* Asks for the A core, for a reason that the manifest grants. */
CORACLE_IMPORT("coracle:wake@1", "request")
int32_t coracle_wake_request(const char *reason, size_t reason_len, const void *payload, size_t payload_len);

#endif
