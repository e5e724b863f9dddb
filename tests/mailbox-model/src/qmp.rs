//! The emulator's control protocol (QMP: JSON, one object a line), as far as it is needed here.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

/// A connection to an emulator, past the greeting.
#[derive(Debug)]
pub(crate) struct Qmp {
    stream: BufReader<UnixStream>,
    events: Vec<String>,
}

impl Qmp {
    /// Takes the greeting and enters command mode.
    ///
    /// # Errors
    /// What the socket said, or `InvalidData` with what the emulator said instead.
    pub(crate) fn new(stream: UnixStream) -> io::Result<Self> {
        let mut qmp = Self { stream: BufReader::new(stream), events: Vec::new() };
        let greeting = qmp.read()?;
        if greeting.get("QMP").is_none() {
            return Err(unexpected(&greeting));
        }
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// Executes a command and gives what it returns.
    ///
    /// # Errors
    /// What the socket said, or `InvalidData` with the emulator's error.
    fn execute(&mut self, command: &str, arguments: &Value) -> io::Result<Value> {
        let line = json!({ "execute": command, "arguments": arguments }).to_string() + "\n";
        self.stream.get_mut().write_all(line.as_bytes())?;
        loop {
            let answer = self.read()?;
            if let Some(value) = answer.get("return") {
                return Ok(value.clone());
            }
            self.keep_event(&answer)?;
        }
    }

    /// Waits for an event that comes after the last command, or came while its answer was waited for.
    ///
    /// # Errors
    /// What the socket said.
    fn wait_for_event(&mut self, name: &str) -> io::Result<()> {
        while !self.events.iter().any(|event| event == name) {
            let message = self.read()?;
            self.keep_event(&message)?;
        }
        self.events.clear();
        Ok(())
    }

    /// Resets the machine; returns when it is done.
    ///
    /// # Errors
    /// What the socket or the emulator said.
    pub(crate) fn reset(&mut self) -> io::Result<()> {
        self.events.clear();
        self.execute("system_reset", &json!({}))?;
        self.wait_for_event("RESET")
    }

    /// The object path of the machine's only device of `kind`, among those that nothing else owns.
    ///
    /// # Errors
    /// What the socket or the emulator said; `NotFound` if there is none.
    pub(crate) fn device(&mut self, kind: &str) -> io::Result<String> {
        const UNATTACHED: &str = "/machine/unattached";
        let list = self.execute("qom-list", &json!({ "path": UNATTACHED }))?;
        let wanted = format!("child<{kind}>");
        let entry = list.as_array().into_iter().flatten().find(|entry| entry.get("type") == Some(&json!(wanted)));
        let name = entry.and_then(|entry| entry.get("name")?.as_str());
        let name = name.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("the machine has no {kind}")))?;
        Ok(format!("{UNATTACHED}/{name}"))
    }

    fn read(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str(&line)?)
    }

    fn keep_event(&mut self, message: &Value) -> io::Result<()> {
        match message.get("event").and_then(Value::as_str) {
            Some(event) => self.events.push(event.to_owned()),
            None => return Err(unexpected(message)),
        }
        Ok(())
    }
}

fn unexpected(message: &Value) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the emulator said {message}"))
}
