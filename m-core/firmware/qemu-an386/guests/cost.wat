;; What `guest-cost` measures. Every entry of the table is a loop around one host call; `on_event` runs the entry that the
;; upper bits of `source` name, twice or ten times as the lowest bit says. Sensor blocks are read by their own events.
(module
  (import "coracle:config@1" "version" (func $version (result i32)))
  (import "coracle:time@1" "now" (func $now (result i64)))
  (import "coracle:log@1" "write" (func $log (param i32 i32 i32) (result i32)))
  (import "coracle:event@1" "read" (func $read (param i32 i32) (result i32)))
  (import "coracle:msg@1" "publish" (func $publish (param i32 i32 i32 i32) (result i32)))
  (import "coracle:kv@1" "get" (func $get (param i32 i32 i32 i32) (result i32)))
  (import "coracle:kv@1" "set" (func $set (param i32 i32 i32 i32) (result i32)))
  (import "coracle:sensor@1" "open" (func $open (param i32 i32) (result i32)))
  (import "coracle:sensor@1" "read_block" (func $block (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 4096 4096 (pagesize 1))
  (data (i32.const 0) "accel0accel1topic/a")
  (data (i32.const 32) "a line of a log that is 40 bytes long...")
  (type $op (func (param i32)))
  (table 7 7 funcref)
  (elem (i32.const 0) $op_nothing $op_version $op_now $op_log $op_read $op_publish $op_get)
  (func (export "init") (result i32)
    (drop (call $open (i32.const 0) (i32.const 6)))
    (drop (call $open (i32.const 6) (i32.const 6)))
    (call $set (i32.const 0) (i32.const 5) (i32.const 32) (i32.const 16)))
  (func (export "on_event") (param $kind i32) (param $source i32) (param $len i32) (result i32)
    (local $n i32)
    (local.set $n (select (i32.const 10) (i32.const 2) (i32.and (local.get $source) (i32.const 1))))
    (if (i32.eq (local.get $kind) (i32.const 1))
      (then
        (loop $again
          (drop (call $block (local.get $source) (i32.const 256) (i32.const 512) (i32.const 512)))
          (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
      (else
        (if (i32.eq (local.get $kind) (i32.const 3))
          (then
            (loop $again
              (drop (call $set (i32.const 0) (i32.const 5) (i32.const 32) (i32.const 16)))
              (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
          (else
            (call_indirect (type $op) (local.get $n) (i32.shr_u (local.get $source) (i32.const 1)))))))
    (i32.const 0))
  (func $op_nothing (param $n i32)
    (loop $again
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func $op_version (param $n i32)
    (loop $again
      (drop (call $version))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func $op_now (param $n i32)
    (loop $again
      (drop (call $now))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func $op_log (param $n i32)
    (loop $again
      (drop (call $log (i32.const 3) (i32.const 32) (i32.const 40)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func $op_read (param $n i32)
    (loop $again
      (drop (call $read (i32.const 256) (i32.const 256)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func $op_publish (param $n i32)
    (loop $again
      (drop (call $publish (i32.const 12) (i32.const 7) (i32.const 32) (i32.const 32)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func $op_get (param $n i32)
    (loop $again
      (drop (call $get (i32.const 0) (i32.const 5) (i32.const 256) (i32.const 64)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
