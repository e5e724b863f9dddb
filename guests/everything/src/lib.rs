//! A test guest that makes every call of the SDK: a message whose first byte is the number of a group makes the calls of
//! that group, and one log line says what each of them returned. It decides nothing; who drives it compares.
//!
//! The names are those of the simulated devices (`led`, `button`, `i2c0`, `spi0`), the sensor `accel0`, the topics
//! [`OUT`] and [`IN`], the reason `fault` and the configuration key `rate`.
#![cfg_attr(target_arch = "wasm32", no_std)]

use coracle_sdk::event::Kinds;
use coracle_sdk::gpio::{self, Edges};
use coracle_sdk::hal::Delay;
use coracle_sdk::time::{self, Schedule};
use coracle_sdk::{
    BLOCK_SAMPLES_MAX, Errno, Event, Guest, Line, MESSAGE_BYTES_MAX, config, event, guest, i2c, kv, log, msg, sensor,
    spi, wake,
};
use embedded_hal::delay::DelayNs as _;
use embedded_hal::i2c::{I2c as _, Operation};
use embedded_hal::spi::{Operation as SpiOperation, SpiDevice as _};

/// Where it publishes and asks.
pub const OUT: &str = "topic/a";
/// What it subscribes.
pub const IN: &str = "topic/b";
/// Milliseconds that it sleeps.
const SLEEP_MS: u32 = 2;

/// The container.
#[derive(Debug)]
pub struct Everything;

impl Guest for Everything {
    fn init() -> Result<Self, Errno> {
        Ok(Self)
    }

    fn on_event(&mut self, event: Event) -> Result<(), Errno> {
        let mut line = Words::new();
        match event {
            Event::Message { .. } => {
                let mut payload = [0; MESSAGE_BYTES_MAX];
                match event::read(&mut payload)?.first() {
                    Some(0) => configuration(&mut line),
                    Some(1) => clock(&mut line),
                    Some(2) => pins(&mut line),
                    Some(3) => i2c_bus(&mut line),
                    Some(4) => spi_device(&mut line),
                    Some(5) => messages(&mut line),
                    Some(6) => store(&mut line),
                    Some(7) => waits(&mut line),
                    _ => line.text("none"),
                }
            }
            Event::Sensor { sensor, samples } => block(&mut line, sensor, samples),
            Event::Wake { len } => line.word("wake", Ok(len as u64)),
            Event::Timer { .. } => line.text("timer"),
            Event::Config { len } => line.word("config", Ok(len as u64)),
            Event::Pin { pin } => line.word("pin", pin.is_high().map(u64::from)),
            Event::Request { .. } => line.word("reply", msg::reply(b"pong").map(|()| 0)),
            Event::Reply { answer } => line.word("answer", answer.map(|len| len as u64)),
        }
        let record = event::current()?;
        line.word("tag", Ok(u64::from(record.tag)));
        line.word("same", Ok(u64::from(record.event == event)));
        log::info(line.0.as_str());
        Ok(())
    }
}

fn configuration(line: &mut Words) {
    let mut buffer = [0; 8];
    line.word("get", config::get("rate", &mut buffer).map(|text| text.len() as u64));
    line.word("none", config::get_u32("none").map(u64::from));
    line.word("version", Ok(u64::from(config::version())));
}

fn clock(line: &mut Words) {
    let before_us = time::now_us();
    let timer = time::set_timer(Schedule::once(3_600_000_000));
    line.word("set", timer.map(|_| 0));
    if let Ok(timer) = timer {
        line.word("remaining", timer.remaining_us().map(|us| u64::from(us <= 3_600_000_000)));
        line.word("cancel", timer.cancel().map(|()| 0));
        line.word("again", timer.cancel().map(|()| 0));
    }
    Delay.delay_ms(SLEEP_MS);
    line.word("slept", Ok(u64::from(time::now_us() - before_us >= u64::from(SLEEP_MS) * 1000)));
}

fn pins(line: &mut Words) {
    match (gpio::output("led"), gpio::input("button")) {
        (Ok(mut led), Ok(button)) => {
            line.word("low", led.set(false).and_then(|()| button.is_high()).map(u64::from));
            line.word("high", led.set(true).and_then(|()| button.is_high()).map(u64::from));
            line.word("watch", button.watch(Edges::Both, 1000).map(|()| 0));
            line.word("unwatch", button.watch(Edges::None, 0).map(|()| 0));
            line.word("close", led.close().and_then(|()| button.close()).map(|()| 0));
            line.word("closed", button.is_high().map(u64::from));
        }
        (led, button) => {
            line.word("led", led.map(|_| 0));
            line.word("button", button.map(|_| 0));
        }
    }
}

fn i2c_bus(line: &mut Words) {
    match i2c::open("i2c0") {
        Ok(mut bus) => {
            let mut data = [0; 2];
            let joined = bus.transaction(0x48, &mut [Operation::Write(&[0]), Operation::Read(&mut data)]);
            line.word("read", joined.map(|()| u64::from(u16::from_be_bytes(data))).map_err(|_| Errno::Io));
            line.word("nobody", bus.write_read(0x49, &[0], &mut data).map(|()| 0).map_err(|_| Errno::Denied));
            line.word("close", bus.close().map(|()| 0));
        }
        Err(errno) => line.word("open", Err(errno)),
    }
}

fn spi_device(line: &mut Words) {
    match spi::open("spi0") {
        Ok(mut device) => {
            // A memory: enable writing, write two bytes at address 0, read them, read the status.
            let mut data = [0; 2];
            let written = device.write(&[6]).and_then(|()| device.write(&[2, 0, 0xAB, 0xCD]));
            line.word("write", written.map(|()| 0).map_err(|_| Errno::Io));
            let read = device.transaction(&mut [SpiOperation::Write(&[3, 0]), SpiOperation::Read(&mut data)]);
            line.word("read", read.map(|()| u64::from(u16::from_be_bytes(data))).map_err(|_| Errno::Io));
            line.word("status", device.transfer(&[5], &mut data).map(|()| u64::from(data[1])));
            line.word("close", device.close().map(|()| 0));
        }
        Err(errno) => line.word("open", Err(errno)),
    }
}

fn messages(line: &mut Words) {
    line.word("publish", msg::publish(OUT, b"one").map(|()| 0));
    line.word("retained", msg::publish_retained(OUT, b"two").map(|()| 0));
    line.word("denied", msg::publish("topic/none", b"").map(|()| 0));
    line.word("unsubscribe", msg::unsubscribe(IN).map(|()| 0));
    line.word("subscribe", msg::subscribe(IN).map(u64::from));
    line.word("request", msg::request(OUT, b"ping", 1_000_000).map(|_| 0));
    line.word("reply", msg::reply(b"").map(|()| 0));
    line.word("wake", wake::request("fault", b"why").map(|()| 0));
}

fn store(line: &mut Words) {
    let mut buffer = [0; 8];
    line.word("none", kv::get("k", &mut buffer).map(|value| value.len() as u64));
    line.word("set", kv::set("k", b"value").map(|()| 0));
    line.word("get", kv::get("k", &mut buffer).map(|value| value.len() as u64));
    line.word("next", kv::next("", &mut buffer).map(|key| key.map_or(0, str::len) as u64));
    line.word("last", kv::next("k", &mut buffer).map(|key| key.map_or(0, str::len) as u64));
    line.word("delete", kv::delete("k").map(|()| 0));
    line.word("gone", kv::delete("k").map(|()| 0));
}

/// Only a guest in command style waits for events; here the calls are refused.
fn waits(line: &mut Words) {
    line.word("event", event::wait(Kinds::EVERY, Some(0)).map(|_| 0));
    line.word("msg", msg::wait(Some(0)).map(|_| 0));
}

fn block(line: &mut Words, handle: sensor::Sensor, samples: usize) {
    let mut buffer = [0; BLOCK_SAMPLES_MAX];
    line.word("early", handle.read_block(&mut buffer).map(|_| 0));
    match sensor::open("accel0") {
        Ok(opened) => {
            line.word("mine", Ok(u64::from(opened == handle)));
            line.word("read", opened.read_block(&mut buffer).map(|(_, count)| u64::from(count == samples)));
            line.word("info", opened.info().map(|info| u64::from(info.rate_hz)));
            line.word("rate", opened.set_rate(100).map(u64::from));
            line.word("threshold", opened.set_threshold(-1, 1).map(|()| 0));
            line.word("close", opened.close().map(|()| 0));
        }
        Err(errno) => line.word("open", Err(errno)),
    }
}

/// Words and numbers in one line.
struct Words(Line);

impl Words {
    fn new() -> Self {
        Self(Line::new())
    }

    fn text(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push_str(" ");
    }

    /// A word, and the number or negated errno behind it.
    fn word(&mut self, word: &str, result: Result<u64, Errno>) {
        self.text(word);
        let number = match result {
            Ok(number) => u32::try_from(number).unwrap_or(u32::MAX),
            Err(errno) => {
                self.0.push_str("-");
                errno as u32
            }
        };
        self.0.push_u32(number);
        self.0.push_str(" ");
    }
}

guest!(Everything);
