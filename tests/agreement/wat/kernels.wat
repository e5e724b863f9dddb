;; Small programs of the kinds that guests are made of; each export takes a size and returns a checksum.
(module
  (memory 1 1)
  (table 4 4 funcref)
  (elem (i32.const 0) $inc $double $square $negate)
  (type $step (func (param i32) (result i32)))
  (func $inc (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func $double (param i32) (result i32) (i32.shl (local.get 0) (i32.const 1)))
  (func $square (param i32) (result i32) (i32.mul (local.get 0) (local.get 0)))
  (func $negate (param i32) (result i32) (i32.sub (i32.const 0) (local.get 0)))

  ;; Fills the first n words with a linear congruence.
  (func $fill (param $n i32) (local $i i32) (local $x i32)
    (local.set $x (i32.const 12345))
    (loop $next
      (local.set $x (i32.add (i32.mul (local.get $x) (i32.const 1103515245)) (i32.const 12345)))
      (i32.store (i32.shl (local.get $i) (i32.const 2)) (local.get $x))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (local.get $n)))))

  ;; One tight loop over memory.
  (func (export "sum") (param $n i32) (result i32) (local $i i32) (local $sum i32)
    (call $fill (local.get $n))
    (loop $next
      (local.set $sum (i32.add (local.get $sum) (i32.load (i32.shl (local.get $i) (i32.const 2)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (local.get $n))))
    (local.get $sum))

  ;; A check by bits: a loop in a loop with a branch on data.
  (func (export "crc32") (param $n i32) (result i32) (local $i i32) (local $bit i32) (local $crc i32)
    (call $fill (local.get $n))
    (local.set $crc (i32.const -1))
    (loop $next
      (local.set $crc (i32.xor (local.get $crc) (i32.load8_u (local.get $i))))
      (local.set $bit (i32.const 8))
      (loop $bits
        (if (i32.and (local.get $crc) (i32.const 1))
          (then (local.set $crc (i32.xor (i32.shr_u (local.get $crc) (i32.const 1)) (i32.const 0xedb88320))))
          (else (local.set $crc (i32.shr_u (local.get $crc) (i32.const 1)))))
        (local.set $bit (i32.sub (local.get $bit) (i32.const 1)))
        (br_if $bits (local.get $bit)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (local.get $n))))
    (local.get $crc))

  ;; Sorting by insertion: loops that are left in the middle.
  (func (export "sort") (param $n i32) (result i32) (local $i i32) (local $at i32) (local $x i32) (local $y i32)
    (call $fill (local.get $n))
    (local.set $i (i32.const 4))
    (block $sorted
      (loop $next
        (br_if $sorted (i32.ge_u (local.get $i) (i32.shl (local.get $n) (i32.const 2))))
        (local.set $x (i32.load (local.get $i)))
        (local.set $at (local.get $i))
        (block $placed
          (loop $shift
            (br_if $placed (i32.eqz (local.get $at)))
            (local.set $y (i32.load (i32.sub (local.get $at) (i32.const 4))))
            (br_if $placed (i32.le_u (local.get $y) (local.get $x)))
            (i32.store (local.get $at) (local.get $y))
            (local.set $at (i32.sub (local.get $at) (i32.const 4)))
            (br $shift)))
        (i32.store (local.get $at) (local.get $x))
        (local.set $i (i32.add (local.get $i) (i32.const 4)))
        (br $next)))
    (i32.add (i32.load (i32.const 0)) (i32.load (i32.shl (i32.shr_u (local.get $n) (i32.const 1)) (i32.const 2)))))

  ;; Calls and returns.
  (func $fib (export "fib") (param $n i32) (result i32)
    (if (i32.lt_u (local.get $n) (i32.const 2)) (then (return (local.get $n))))
    (i32.add (call $fib (i32.sub (local.get $n) (i32.const 1))) (call $fib (i32.sub (local.get $n) (i32.const 2)))))

  ;; Calls through the table.
  (func (export "indirect") (param $n i32) (result i32) (local $x i32)
    (loop $next
      (local.set $x
        (call_indirect (type $step) (local.get $x) (i32.and (local.get $n) (i32.const 3))))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $next (local.get $n)))
    (local.get $x))

  ;; A filter: floats and two loops.
  (func (export "filter") (param $n i32) (result i32) (local $i i32) (local $k i32) (local $sum f64) (local $all f64)
    (call $fill (local.get $n))
    (loop $next
      (local.set $sum (f64.const 0))
      (local.set $k (i32.const 0))
      (loop $taps
        (local.set $sum
          (f64.add (local.get $sum)
            (f64.mul (f64.convert_i32_s (i32.load16_s (i32.shl (i32.add (local.get $i) (local.get $k)) (i32.const 1))))
              (f64.const 0.0625))))
        (local.set $k (i32.add (local.get $k) (i32.const 1)))
        (br_if $taps (i32.lt_u (local.get $k) (i32.const 16))))
      (local.set $all (f64.add (f64.sqrt (f64.abs (local.get $sum))) (local.get $all)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (local.get $n))))
    (i32.trunc_sat_f64_s (local.get $all)))

  ;; A state machine: a branch table in a loop.
  (func (export "states") (param $n i32) (result i32) (local $state i32) (local $count i32)
    (loop $next
      (block $step
        (block $three (block $two (block $one (block $zero
          (br_table $zero $one $two $three (local.get $state)))
          (local.set $state (i32.const 2)) (br $step))
          (local.set $state (i32.const 3)) (br $step))
          (local.set $state (i32.const 1)) (br $step))
        (local.set $state (i32.const 0))
        (local.set $count (i32.add (local.get $count) (i32.const 1))))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $next (local.get $n)))
    (local.get $count))

  ;; Blocks of memory.
  (func (export "copy") (param $n i32) (result i32) (local $i i32)
    (loop $next
      (memory.fill (i32.const 0) (local.get $i) (i32.const 256))
      (memory.copy (i32.const 256) (i32.const 0) (i32.const 256))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (local.get $n))))
    (i32.load (i32.const 508))))
