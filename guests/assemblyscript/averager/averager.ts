// Publishes the average of a sensor's samples, once for every few blocks. An example of a guest in AssemblyScript, in
// event style, that declares the imports it needs itself: docs/guest-interface.md has all of them.
//
// Manifest: `grants.sensors` has `accel0`, `grants.publish` has `average`; `config.blocks` is the number of blocks in an
// average, 8 if left out. The message is the average in counts of the sensor, an i32, little-endian.
//
// Built with the runtime `stub`, which never frees: everything that is allocated is allocated once, in `init`.

// @ts-ignore: decorator
@external("coracle:config@1", "get")
declare function configGet(key: usize, keyLen: usize, value: usize, size: usize): i32;
// @ts-ignore: decorator
@external("coracle:log@1", "write")
declare function logWrite(level: i32, text: usize, len: usize): i32;
// @ts-ignore: decorator
@external("coracle:sensor@1", "open")
declare function sensorOpen(name: usize, nameLen: usize): i32;
// @ts-ignore: decorator
@external("coracle:sensor@1", "read_block")
declare function sensorReadBlock(sensor: i32, header: usize, samples: usize, max: usize): i32;
// @ts-ignore: decorator
@external("coracle:msg@1", "publish")
declare function msgPublish(topic: usize, topicLen: usize, payload: usize, len: usize): i32;

const LEVEL_ERROR: i32 = 1;
const EVENT_SENSOR: i32 = 1;
const AGAIN: i32 = -11;
const INVALID: i32 = -22;
const NO_ENTRY: i32 = -2;

const BLOCK_SAMPLES_MAX: usize = 512;
const BLOCKS: i32 = 8;
const BLOCKS_MAX: i32 = 10000;

// Static memory for what the core writes.
const header: usize = memory.data(24, 8);
const samples: usize = memory.data(1024, 2);
const message: usize = memory.data(4, 4);
const value: usize = memory.data(8);

let topic: ArrayBuffer = new ArrayBuffer(0);
let sensor: i32 = -1;
let blocks: i32 = BLOCKS;

let sum: i64 = 0;
let count: i64 = 0;
let seen: i32 = 0;

function utf8(text: string): ArrayBuffer {
  return String.UTF8.encode(text);
}

function address(buffer: ArrayBuffer): usize {
  return changetype<usize>(buffer);
}

// The configured number of blocks, or an error.
function configured(): i32 {
  const key = utf8("blocks");
  const len = configGet(address(key), key.byteLength, value, 8);
  if (len == NO_ENTRY) return BLOCKS;
  if (len < 1 || len > 8) return INVALID;
  let number = 0;
  for (let i = 0; i < len; i++) {
    const digit = <i32>load<u8>(value + i) - 0x30;
    if (digit < 0 || digit > 9) return INVALID;
    number = number * 10 + digit;
  }
  return number >= 1 && number <= BLOCKS_MAX ? number : INVALID;
}

export function init(): i32 {
  blocks = configured();
  if (blocks < 0) {
    const text = utf8("config: blocks is no number from 1 to 10000");
    logWrite(LEVEL_ERROR, address(text), text.byteLength);
    return blocks;
  }
  topic = utf8("average");
  const name = utf8("accel0");
  sensor = sensorOpen(address(name), name.byteLength);
  return sensor < 0 ? sensor : 0;
}

export function on_event(kind: i32, source: i32, len: i32): i32 {
  if (kind != EVENT_SENSOR || source != sensor) return 0;
  const read = sensorReadBlock(sensor, header, samples, BLOCK_SAMPLES_MAX);
  if (read < 0) return read;
  for (let i = 0; i < read; i++) sum += load<i16>(samples + (<usize>i << 1));
  count += read;
  seen += 1;
  if (seen < blocks || count == 0) return 0;
  store<i32>(message, <i32>(sum / count));
  sum = 0;
  count = 0;
  seen = 0;
  const result = msgPublish(address(topic), topic.byteLength, message, 4);
  // The next average is worth more than this one.
  return result == AGAIN ? 0 : result;
}
