//! The subset of WASI: layouts, line assembly, polling, random numbers.

use std::string::ToString;
use std::vec;

use super::*;
use crate::Waiting;

const BADF: i64 = 8;
const INVAL: i64 = 28;
const NOTSUP: i64 = 58;
const SPIPE: i64 = 70;
const TOO_LARGE: i64 = 35;

// ---- strings ---------------------------------------------------------------------------------------------------------

/// Count and bytes, and what the table of addresses leads to.
fn strings(rig: &mut Rig, sizes: Call, get: Call) -> (u32, u32, Vec<Vec<u8>>) {
    assert_eq!(rig.get(sizes, &[OUT, OUT + 4]), 0);
    let (count, bytes) = (rig.u32(OUT), rig.u32(OUT + 4));
    rig.memory[OUT as usize..].fill(FILL);
    let (table, buffer) = (OUT, OUT + 512);
    assert_eq!(rig.get(get, &[table, buffer]), 0);
    let mut list = Vec::new();
    let mut next = buffer as u32;
    for n in 0..count {
        let at = rig.u32(table + 4 * i64::from(n));
        assert_eq!(at, next, "one after the other");
        let text: Vec<u8> = rig.memory[at as usize..].iter().copied().take_while(|b| *b != 0).collect();
        next = at + text.len() as u32 + 1;
        list.push(text);
    }
    assert_eq!(next - buffer as u32, bytes, "the size is exact");
    let beyond = [rig.memory[next as usize], rig.memory[(table + 4 * i64::from(count)) as usize]];
    assert_eq!(beyond, [FILL; 2], "no byte more");
    (count, bytes, list)
}

#[test]
fn arguments_begin_with_the_name() {
    let mut rig = Rig::new();
    let (count, bytes, list) = strings(&mut rig, Call::WasiArgsSizesGet, Call::WasiArgsGet);
    assert_eq!((count, bytes), (3, 22));
    assert_eq!(list, [&b"tracker"[..], b"--x", b"two words"]);
    let mut spec = spec();
    spec.grants.args = Default::default();
    let (count, _, list) = strings(&mut Rig::of(spec), Call::WasiArgsSizesGet, Call::WasiArgsGet);
    assert_eq!((count, list), (1, vec![b"tracker".to_vec()]));
}

#[test]
fn the_environment_is_the_configuration() {
    let mut rig = Rig::new();
    let (count, bytes, list) = strings(&mut rig, Call::WasiEnvironSizesGet, Call::WasiEnvironGet);
    assert_eq!((count, bytes), (2, 18));
    assert_eq!(list, ["limit=12".as_bytes(), "word=hé".as_bytes()]);
    // As it is now.
    rig.host.configure(&[(name("k"), "v=w".to_string()), (name("empty"), String::new())]).unwrap();
    let (_, _, list) = strings(&mut rig, Call::WasiEnvironSizesGet, Call::WasiEnvironGet);
    assert_eq!(list, [&b"k=v=w"[..], b"empty="]);
    rig.host.configure(&[]).unwrap();
    let (count, bytes, _) = strings(&mut rig, Call::WasiEnvironSizesGet, Call::WasiEnvironGet);
    assert_eq!((count, bytes), (0, 0));
}

#[test]
fn what_the_environment_cannot_express_is_not_in_it() {
    let mut rig = Rig::new();
    let config = [("a", "1"), ("b", "2\0evil=3"), ("c=d", "4"), ("e\0", "5"), ("f", "6")];
    let config = config.map(|(k, v)| (name(k), v.to_string()));
    rig.host.configure(&config).unwrap();
    let (count, bytes, list) = strings(&mut rig, Call::WasiEnvironSizesGet, Call::WasiEnvironGet);
    assert_eq!((count, bytes), (2, 8));
    assert_eq!(list, [b"a=1", b"f=6"]);
    assert_eq!(rig.named(Call::ConfigGet, "b", &[OUT, 99]), 8, "config.get has no such trouble");
}

// ---- clocks and random numbers ---------------------------------------------------------------------------------------

#[test]
fn clocks_are_in_nanoseconds() {
    let mut rig = Rig::new();
    rig.host.set_now(10);
    rig.host.set_now(17);
    for clock in [0, 2, 3, 4, -1] {
        let want = if clock == 0 { NOTSUP } else { INVAL };
        assert_eq!(rig.get(Call::WasiClockTimeGet, &[clock, 0, OUT]), want);
        assert_eq!(rig.get(Call::WasiClockResGet, &[clock, OUT]), want);
    }
    assert_eq!(rig.get(Call::WasiClockTimeGet, &[1, 0, OUT]), 0);
    assert_eq!(rig.u64(OUT), 7000);
    assert_eq!(rig.get(Call::WasiClockResGet, &[1, OUT]), 0);
    assert_eq!(rig.u64(OUT), 1000);
    rig.host.wall_offset_us = Some(100);
    assert_eq!(rig.get(Call::WasiClockTimeGet, &[0, 0, OUT]), 0);
    assert_eq!(rig.u64(OUT), 117_000);
    assert_eq!(rig.get(Call::WasiClockResGet, &[0, OUT]), 0);
    rig.host.state.clock_us = u64::MAX;
    assert_eq!(rig.get(Call::WasiClockTimeGet, &[1, 0, OUT]), 0);
    assert_eq!(rig.u64(OUT), u64::MAX);
}

#[test]
fn random_bytes_differ_and_can_be_repeated() {
    let take = |rig: &mut Rig, len: usize| {
        assert_eq!(rig.get(Call::WasiRandomGet, &[OUT, len as i64]), 0);
        rig.at(OUT, len).to_vec()
    };
    let mut rig = Rig::new();
    let (first, second) = (take(&mut rig, 100), take(&mut rig, 100));
    assert_ne!(first, second);
    let parts: Vec<_> = first.chunks(32).chain(second.chunks(32)).collect();
    for (i, a) in parts.iter().enumerate() {
        assert!(parts[i + 1..].iter().all(|b| a[..4] != b[..4]), "the same again within a call");
    }
    // The same container at the same place in its life, on whichever core.
    let mut again = Rig::new();
    assert_eq!(take(&mut again, 100), first);
    let mut moved = Rig::new();
    moved.host.state.random = 1;
    assert_eq!(take(&mut moved, 100), second);
    assert_eq!(take(&mut Rig::new(), 33), first[..33], "the length only cuts");
    let mut spec = spec();
    spec.seed[15] ^= 1;
    assert_ne!(take(&mut Rig::of(spec), 100), first);
    assert_eq!(rig.get(Call::WasiRandomGet, &[OUT, 0]), 0);
    assert_eq!(rig.get(Call::WasiRandomGet, &[OUT, 1024]), 0);
    let turns = rig.host.state.random;
    assert_eq!(rig.get(Call::WasiRandomGet, &[OUT, 1025]), TOO_LARGE);
    assert_eq!(rig.host.state.random, turns);
}

// ---- descriptors -----------------------------------------------------------------------------------------------------

#[test]
fn three_descriptors_and_no_others() {
    let mut rig = Rig::new();
    for fd in 0..3 {
        assert_eq!(rig.get(Call::WasiFdClose, &[fd]), 0);
        assert_eq!(rig.get(Call::WasiFdSeek, &[fd, 0, 0, OUT]), SPIPE);
        assert_eq!(rig.get(Call::WasiFdFdstatGet, &[fd, OUT]), 0);
        let rights = (1_u64 << 1 | 1 << 6).to_le_bytes();
        assert_eq!(rig.at(OUT, 24), [&[2, 0, 0, 0, 0, 0, 0, 0][..], &rights, &[0; 8]].concat());
    }
    assert_eq!(rig.get(Call::WasiFdRead, &[0, 0, 0, OUT]), 0);
    assert_eq!(rig.u32(OUT), 0, "the end of the file");
    for fd in [3, 4, 100, -1, i64::from(i32::MIN)] {
        for call in [Call::WasiFdClose, Call::WasiFdSeek, Call::WasiFdFdstatGet, Call::WasiFdRead, Call::WasiFdWrite] {
            assert_eq!(rig.get(call, &[fd, OUT, 0, OUT]), BADF, "{call:?} {fd}");
        }
        assert_eq!(rig.get(Call::WasiFdPrestatGet, &[fd, OUT]), BADF);
    }
    assert_eq!(rig.get(Call::WasiFdPrestatGet, &[3, OUT]), BADF, "no folder is open");
    assert_eq!(rig.get(Call::WasiFdPrestatDirName, &[3, OUT, 4]), BADF);
    assert_eq!(rig.get(Call::WasiFdRead, &[1, 0, 0, OUT]), BADF);
    assert_eq!(rig.get(Call::WasiFdWrite, &[0, OUT, 0, OUT]), BADF);
    assert_eq!(rig.get(Call::WasiSchedYield, &[]), 0);
}

/// Calls on files that reach this crate find no descriptor of theirs.
#[test]
fn files_are_not_here() {
    for n in Call::WasiPathOpen as u8..=Call::WasiFdTell as u8 {
        let call = coracle_guest_abi::IMPORTS[usize::from(n)].call;
        assert_eq!(Rig::new().get(call, &[3, 0, 0, 0, 0, 0, 0, 0, 0]), BADF, "{call:?}");
    }
}

#[test]
fn a_command_exits_with_its_number() {
    for code in [0, 1, 42, -1, i64::from(i32::MIN), i64::from(u32::MAX)] {
        let want = Outcome::Exit(code as i32);
        assert_eq!(Rig::new().call(Call::WasiProcExit, &[code]), want);
    }
}

// ---- fd_write --------------------------------------------------------------------------------------------------------

/// Writes these buffers in one call; the bytes taken.
fn write(rig: &mut Rig, fd: i64, buffers: &[&[u8]]) -> u32 {
    rig.next = 16;
    let mut iovs = Vec::new();
    for buffer in buffers {
        let at = rig.put(buffer);
        iovs.extend((at as u32).to_le_bytes());
        iovs.extend((buffer.len() as u32).to_le_bytes());
    }
    let at = OUT + 256;
    rig.memory[at as usize..at as usize + iovs.len()].copy_from_slice(&iovs);
    assert_eq!(rig.get(Call::WasiFdWrite, &[fd, at, buffers.len() as i64, OUT]), 0);
    rig.u32(OUT)
}

#[test]
fn what_is_printed_becomes_lines() {
    let mut rig = Rig::new();
    assert_eq!(write(&mut rig, 1, &[b"a line\nhalf ", b"of", b"", b" one"]), 18);
    assert_eq!(rig.lines(), [(3, "a line".to_string())]);
    assert_eq!(write(&mut rig, 2, &[b"bad\n"]), 4);
    assert_eq!(write(&mut rig, 1, &[b"\n\n"]), 2);
    let want = [(2, "bad"), (3, "half of one"), (3, "")].map(|(l, t)| (l, t.to_string()));
    assert_eq!(rig.lines(), want);
    // Neither stream takes what belongs to the other.
    write(&mut rig, 1, &[b"out"]);
    write(&mut rig, 2, &[b"err"]);
    rig.host.event_done();
    assert_eq!(rig.lines(), [(3, "out".to_string()), (2, "err".to_string())]);
    rig.host.event_done();
    assert_eq!(rig.lines(), []);
    assert_eq!(write(&mut rig, 1, &[]), 0);
}

#[test]
fn lines_that_are_no_text_are_still_lines() {
    let mut rig = Rig::new();
    write(&mut rig, 1, &[b"a\xFFb\xC3", b"\n"]);
    // A character that two calls share.
    write(&mut rig, 1, &[b"\xC3"]);
    write(&mut rig, 1, &[b"\xA9\n"]);
    write(&mut rig, 1, &[&[0xFF; 1000], b"\n"]);
    let lines = rig.lines();
    assert_eq!(lines[..2], [(3, "a\u{FFFD}b\u{FFFD}".to_string()), (3, "é".to_string())]);
    assert!(lines[2].1.len() <= 160 && lines[2].1.chars().all(|c| c == '\u{FFFD}'));
}

#[test]
fn long_lines_are_cut_and_the_next_one_is_whole() {
    let mut rig = Rig::new();
    write(&mut rig, 1, &[&[b'x'; 500]]);
    write(&mut rig, 1, &[&[b'y'; 500], b"\nnext\n"]);
    assert_eq!(rig.lines(), [(3, "x".repeat(160)), (3, "next".to_string())]);
}

#[test]
fn one_write_takes_so_much_and_says_how_much() {
    let mut rig = Rig::new();
    assert_eq!(write(&mut rig, 1, &[&[b'x'; 1025]]), 1024);
    assert_eq!(write(&mut rig, 1, &[&[b'x'; 1000], &[b'x'; 24], b"y"]), 1024);
    assert_eq!(write(&mut rig, 1, &[&b"z"[..]; 20]), 16);
    // A count that no memory holds: sixteen are looked at.
    let (head, many) = (16, i64::from(u32::MAX));
    rig.memory.fill(0);
    assert_eq!(rig.get(Call::WasiFdWrite, &[1, head, many, OUT]), 0);
    assert_eq!(rig.u32(OUT), 0);
    // A write of line ends alone: every one is a line, as far as lines are allowed.
    let mut rig = Rig::new();
    assert_eq!(write(&mut rig, 1, &[&[b'\n'; 1024]]), 1024);
    assert_eq!((rig.lines().len(), rig.host.logs_dropped), (16, 1008));
}

// ---- poll_oneoff -----------------------------------------------------------------------------------------------------

const RELATIVE: u16 = 0;
const ABSOLUTE: u16 = 1;

fn clock(userdata: u64, id: u32, timeout_ns: u64, flags: u16) -> [u8; 48] {
    let mut sub = [0; 48];
    sub[..8].copy_from_slice(&userdata.to_le_bytes());
    sub[16..20].copy_from_slice(&id.to_le_bytes());
    sub[24..32].copy_from_slice(&timeout_ns.to_le_bytes());
    sub[40..42].copy_from_slice(&flags.to_le_bytes());
    sub
}

fn descriptor(userdata: u64, tag: u8, fd: u32) -> [u8; 48] {
    let mut sub = [0; 48];
    sub[..8].copy_from_slice(&userdata.to_le_bytes());
    sub[8] = tag;
    sub[16..20].copy_from_slice(&fd.to_le_bytes());
    sub
}

const EVENTS: i64 = OUT;
const COUNT: i64 = OUT + 512;

fn poll(rig: &mut Rig, subs: &[[u8; 48]]) -> Outcome {
    rig.next = 16;
    let at = rig.put(subs.concat());
    rig.memory[OUT as usize..].fill(FILL);
    rig.call(Call::WasiPollOneoff, &[at, EVENTS, subs.len() as i64, COUNT])
}

/// User data, error and type of the events, and their number of bytes.
fn events(rig: &Rig) -> Vec<(u64, u16, u8, u64)> {
    let count = i64::from(rig.u32(COUNT));
    assert!(rig.at(EVENTS + 32 * count, 32).iter().all(|b| *b == FILL), "an event too many was written");
    let event = |n: i64| {
        let at = EVENTS + 32 * n;
        let error = u16::from_le_bytes(rig.at(at + 8, 2).try_into().unwrap());
        assert_eq!(rig.at(at + 11, 5), [0; 5]);
        assert_eq!(rig.at(at + 24, 8), [0; 8]);
        (rig.u64(at), error, rig.at(at + 10, 1)[0], rig.u64(at + 16))
    };
    (0..count).map(event).collect()
}

fn command() -> Rig {
    let mut rig = Rig::new();
    rig.host.command = true;
    rig.host.set_now(1_000_000);
    rig.host.set_now(1_001_000);
    rig
}

fn resume(rig: &mut Rig) -> Option<i64> {
    rig.host.resume(&mut rig.memory)
}

#[test]
fn clocks_end_a_poll() {
    let soon = 500_000;
    for sub in [clock(7, 1, soon, RELATIVE), clock(7, 1, 1_000_000 + soon, ABSOLUTE)] {
        let mut rig = command();
        assert_eq!(poll(&mut rig, &[sub]), Outcome::Park);
        assert_eq!((rig.host.waiting(), rig.host.deadline_us()), (Some(Waiting::Time), Some(1_001_500)));
        rig.host.notice();
        rig.host.set_now(1_001_499);
        rig.host.poll();
        assert_eq!(resume(&mut rig), None);
        rig.host.set_now(1_001_500);
        rig.host.poll();
        assert!(rig.host.is_new_turn());
        assert_eq!(resume(&mut rig), Some(0));
        assert_eq!(events(&rig), [(7, 0, 0, 0)]);
    }
}

#[test]
fn a_poll_is_rather_late_than_early() {
    let mut rig = command();
    assert_eq!(poll(&mut rig, &[clock(7, 1, 1, RELATIVE)]), Outcome::Park);
    assert_eq!(rig.host.deadline_us(), Some(1_001_001));
    rig.host.abandon();
    // A time that is over, and one that never comes.
    assert_eq!(poll(&mut rig, &[clock(7, 1, 5, ABSOLUTE)]), Outcome::Park);
    rig.host.poll();
    assert_eq!(resume(&mut rig), Some(0));
    assert_eq!(events(&rig), [(7, 0, 0, 0)]);
    for flags in [RELATIVE, ABSOLUTE] {
        assert_eq!(poll(&mut rig, &[clock(7, 1, u64::MAX, flags)]), Outcome::Park);
        rig.host.set_now(1 << 40);
        rig.host.poll();
        assert_eq!(resume(&mut rig), None);
        rig.host.abandon();
    }
}

#[test]
fn wall_time_ends_a_poll_where_it_is_known() {
    let mut rig = command();
    let sub = clock(7, 0, 5_001_300_000, ABSOLUTE);
    assert_eq!(poll(&mut rig, &[sub]), Outcome::Return(0));
    assert_eq!(events(&rig), [(7, 58, 0, 0)]);
    rig.host.wall_offset_us = Some(4_000_000);
    assert_eq!(poll(&mut rig, &[sub]), Outcome::Park);
    assert_eq!(rig.host.deadline_us(), Some(1_001_300));
}

#[test]
fn a_queue_that_fills_ends_a_poll() {
    let mut rig = command();
    assert_eq!(poll(&mut rig, &[descriptor(9, 1, 0), clock(7, 1, 500_000, RELATIVE)]), Outcome::Park);
    assert_eq!((rig.host.waiting(), rig.host.deadline_us()), (Some(Waiting::Notice), Some(1_001_500)));
    assert!(rig.host.deliver(event(EventKind::Message, 0, b"")).is_err(), "it asks with event.wait for that");
    rig.host.notice();
    assert_eq!(resume(&mut rig), Some(0));
    assert_eq!(events(&rig), [(9, 0, 1, 1)]);
    // Or the clock does.
    assert_eq!(poll(&mut rig, &[descriptor(9, 1, 0), clock(7, 1, 500_000, RELATIVE)]), Outcome::Park);
    rig.host.set_now(1_002_000);
    rig.host.poll();
    assert_eq!(resume(&mut rig), Some(0));
    assert_eq!(events(&rig), [(7, 0, 0, 0)]);
    // Or both at once.
    assert_eq!(poll(&mut rig, &[clock(7, 1, 0, RELATIVE), descriptor(9, 1, 0)]), Outcome::Park);
    rig.host.notice();
    assert_eq!(resume(&mut rig), Some(0));
    assert_eq!(events(&rig), [(7, 0, 0, 0), (9, 0, 1, 1)]);
}

#[test]
fn a_queue_is_waited_for_in_command_style_alone() {
    let mut rig = Rig::new();
    assert_eq!(poll(&mut rig, &[descriptor(9, 1, 0)]), Outcome::Return(0));
    assert_eq!(events(&rig), [(9, 58, 1, 0)]);
    assert_eq!(poll(&mut rig, &[clock(7, 1, 500_000, RELATIVE)]), Outcome::Park, "a clock may be");
}

#[test]
fn the_log_is_always_ready_and_other_descriptors_never() {
    let mut rig = command();
    let subs = [
        descriptor(1, 2, 1),
        descriptor(2, 2, 2),
        descriptor(3, 2, 0),
        descriptor(4, 1, 1),
        descriptor(5, 1, 3),
        descriptor(6, 2, u32::MAX),
        clock(7, 9, 0, RELATIVE),
        clock(8, 1, 0, RELATIVE),
    ];
    assert_eq!(poll(&mut rig, &subs), Outcome::Return(0));
    let want = [
        (1, 0, 2, 1),
        (2, 0, 2, 1),
        (3, 8, 2, 0),
        (4, 8, 1, 0),
        (5, 8, 1, 0),
        (6, 8, 2, 0),
        (7, 28, 0, 0),
        (8, 0, 0, 0),
    ];
    assert_eq!(events(&rig), want);
    // A clock that is not over yet is no event, though the poll ends.
    assert_eq!(poll(&mut rig, &[clock(7, 1, 1000, RELATIVE), descriptor(1, 2, 1)]), Outcome::Return(0));
    assert_eq!(events(&rig), [(1, 0, 2, 1)]);
}

#[test]
fn a_poll_of_nothing_too_much_or_nonsense_is_refused() {
    let mut rig = command();
    assert_eq!(poll(&mut rig, &[]), Outcome::Return(INVAL));
    assert_eq!(poll(&mut rig, &[descriptor(1, 2, 1); 9]), Outcome::Return(TOO_LARGE));
    for tag in [3, 4, 255] {
        let before = rig.memory[OUT as usize..].to_vec();
        assert_eq!(poll(&mut rig, &[descriptor(1, 2, 1), descriptor(1, tag, 1)]), Outcome::Return(INVAL));
        assert_eq!(rig.memory[OUT as usize..].len(), before.len());
        assert!(rig.memory[OUT as usize..].iter().all(|b| *b == FILL));
    }
    assert!(!rig.host.is_parked());
    let huge = i64::from(u32::MAX);
    assert_eq!(rig.get(Call::WasiPollOneoff, &[16, OUT, huge, COUNT]), TOO_LARGE);
}
