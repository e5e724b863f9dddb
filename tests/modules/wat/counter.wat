;; Uses every part of the state: memory, a global of each type, a sensor handle; and every host call.
;; The results of the host calls go to memory, so that the state digest compares them between engines.
(module
  (import "coracle:log@1" "write" (func $log (param i32 i32 i32) (result i32)))
  (import "coracle:config@1" "get" (func $config (param i32 i32 i32 i32) (result i32)))
  (import "coracle:event@1" "read" (func $read (param i32 i32) (result i32)))
  (import "coracle:time@1" "now" (func $now (result i64)))
  (import "coracle:sensor@1" "open" (func $open (param i32 i32) (result i32)))
  (import "coracle:sensor@1" "read_block" (func $read_block (param i32 i32 i32 i32) (result i32)))
  (import "coracle:msg@1" "publish" (func $publish (param i32 i32 i32 i32) (result i32)))
  (import "coracle:wake@1" "request" (func $wake (param i32 i32 i32 i32) (result i32)))
  (memory 3000 8000 (pagesize 1))
  (global $events (mut i32) (i32.const 0))
  (global $constant i32 (i32.const 5))
  (global $sum (mut i64) (i64.const 100))
  (global $mean (mut f32) (f32.const 1))
  (global $square (mut f64) (f64.const 1))
  (data (i32.const 0) "accel0\00\00topic/a\00fault\00\00\00rate\00\00\00\00hello\00\00\00denied\00\00")
  ;; 64: results; 256: payload; 1024: samples
  (func $note (param $at i32) (param $value i32)
    (i32.store (i32.add (i32.const 64) (local.get $at)) (local.get $value)))
  (func (export "init") (result i32)
    (call $note (i32.const 0) (call $open (i32.const 0) (i32.const 6)))
    (call $note (i32.const 4) (call $config (i32.const 24) (i32.const 4) (i32.const 128) (i32.const 16)))
    (call $note (i32.const 8) (call $open (i32.const 40) (i32.const 6)))
    (drop (call $log (i32.const 3) (i32.const 32) (i32.const 5)))
    (i32.const 0))
  (func (export "on_event") (param $kind i32) (param $source i32) (param $len i32) (result i32)
    (local $i i32)
    (global.set $events (i32.add (global.get $events) (i32.const 1)))
    (i64.store (i32.const 112) (i64.add (i64.load (i32.const 112)) (call $now)))
    (call $note (i32.const 16) (call $read (i32.const 256) (i32.const 512)))
    (call $note (i32.const 20) (call $read_block (i32.const 0) (i32.const 1000) (i32.const 1024) (i32.const 512)))
    (loop $next
      (if (i32.lt_u (local.get $i) (i32.const 64))
        (then
          (global.set $sum (i64.add
            (i64.mul (global.get $sum) (i64.const 31))
            (i64.extend_i32_u (i32.load8_u (i32.add (i32.const 256) (local.get $i))))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br $next))))
    (global.set $mean (f32.add
      (f32.mul (global.get $mean) (f32.const 0.9))
      (f32.convert_i32_s (local.get $len))))
    (global.set $square (f64.add
      (global.get $square)
      (f64.sqrt (f64.convert_i64_u (global.get $sum)))))
    ;; A byte for every event, further up each time: memory that only exists after that event.
    (i32.store8 (i32.add (i32.const 2048) (global.get $events)) (local.get $kind))
    (call $note (i32.const 24) (call $publish (i32.const 8) (i32.const 7) (i32.const 64) (i32.const 32)))
    (call $note (i32.const 28) (call $publish (i32.const 40) (i32.const 6) (i32.const 64) (i32.const 8)))
    (if (i32.eqz (i32.rem_u (global.get $events) (global.get $constant)))
      (then (call $note (i32.const 32) (call $wake (i32.const 16) (i32.const 5) (i32.const 256) (i32.const 40)))))
    (i32.const 0)))
