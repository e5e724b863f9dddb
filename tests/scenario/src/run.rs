//! One scenario on a machine: apply the manifest, play the trace, wait until all is settled, judge.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use coracle_api::{Client, ClientError, Event, Reply, Report, Request, What};
use coracle_manifest::{Manifest, Scenario, ScenarioOverride, Sensor};
use coracle_sensor_feed::trace::Trace;
use serde::Serialize;

use crate::{Error, Machine, Pace, Verdict, judge};

/// Longest time for a manifest to be applied: every module is compiled, and an emulated core is slow.
const APPLY_PATIENCE: Duration = Duration::from_secs(180);
/// Longest time for a report.
const REPORT_PATIENCE: Duration = Duration::from_secs(60);
/// Longest time for a trace, on top of [`TRACE_SLOWNESS_MAX`] times its own length.
const TRACE_PATIENCE: Duration = Duration::from_secs(120);
/// How much slower than its sensor a board may take a trace in virtual time: an emulator on a busy machine.
const TRACE_SLOWNESS_MAX: u32 = 4;
/// Longest time for everything to settle behind the end of the trace.
const SETTLE_PATIENCE: Duration = Duration::from_secs(120);
/// How long two equal reports are apart for the machine to count as settled.
const SETTLED_FOR: Duration = Duration::from_millis(300);

/// State of a container, in a report, that is in its place.
const RUNNING: &str = "running";
/// Beginning of the state of a container that has ended for good.
const EXITED: &str = "exited";

/// Something for the timeline, in the order in which it became known.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Happening {
    /// On the machine.
    Event(Event),
    /// At the launcher.
    Note(Note),
}

/// What the launcher did or saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Note {
    /// The manifest was applied; every container runs.
    Applied {
        /// The manifest.
        manifest: PathBuf,
    },
    /// The sensor plays.
    TraceStarted {
        /// The recording.
        trace: PathBuf,
        /// Its length in microseconds.
        length_us: u64,
    },
    /// The M core has taken the whole recording.
    TraceEnded,
    /// The M core died and was started again.
    MCoreRestarted {
        /// How it had ended.
        how: String,
    },
}

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The manifest's file.
    pub manifest: PathBuf,
    /// The recording and what is expected.
    pub scenario: Scenario,
    /// What paces the trace. In virtual time the sensor waits while A owes an answer.
    pub pace: Pace,
    /// Whether the manifest's move rules are left out.
    pub pinned: bool,
    sensor: Sensor,
    trace_length: Duration,
}

impl Plan {
    /// Reads and checks the manifest and the recording, so that nothing is started for nothing.
    ///
    /// # Errors
    /// What is wrong with either.
    pub fn read(manifest: &Path, modules: &Path, given: &ScenarioOverride) -> Result<Self, Error> {
        let checked = Manifest::load(manifest, Some(modules))?;
        let scenario = given.apply(checked.scenario.as_ref()).ok_or(Error::NoScenario)?;
        let sensor = checked.sensors.first().ok_or(Error::NoSensor)?.clone();
        let trace = Trace::read(&scenario.trace, Some(sensor.rate_hz))?;
        if trace.rate_hz() != sensor.rate_hz {
            return Err(Error::WrongRate {
                trace: scenario.trace,
                trace_hz: trace.rate_hz(),
                sensor: sensor.name.to_string(),
                sensor_hz: sensor.rate_hz,
            });
        }
        let trace_length = Duration::from_secs_f64(trace.samples().len() as f64 / f64::from(sensor.rate_hz));
        Ok(Self { manifest: manifest.to_owned(), scenario, pace: Pace::Virtual, pinned: false, sensor, trace_length })
    }
}

/// How a scenario ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The machine in the end.
    pub report: Report,
    /// What happened on the machine.
    pub events: Vec<Event>,
    /// The judgements.
    pub verdicts: Vec<Verdict>,
}

impl Outcome {
    /// Whether every expectation held.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.held)
    }
}

/// Runs `plan` on `machine` to its end and tells `tell` what happens, when it happens.
///
/// # Errors
/// What kept the scenario from reaching its end. Expectations that do not hold are no error.
pub fn run_scenario(machine: &mut Machine, plan: &Plan, tell: &mut dyn FnMut(&Happening)) -> Result<Outcome, Error> {
    let mut run = Run::start(machine, plan, tell)?;
    run.play()?;
    run.finish()
}

/// A scenario under way, for tests that disturb the machine in between.
pub struct Run<'a> {
    machine: &'a mut Machine,
    plan: &'a Plan,
    tell: &'a mut dyn FnMut(&Happening),
    incoming: Receiver<Result<Event, ClientError>>,
    events: Vec<Event>,
}

impl<'a> Run<'a> {
    /// Applies the manifest. The sensor does not play yet.
    ///
    /// # Errors
    /// Whatever [`Machine::supervise`] says, and [`Error::Daemon`] if the manifest is refused.
    pub fn start(machine: &'a mut Machine, plan: &'a Plan, tell: &'a mut dyn FnMut(&Happening)) -> Result<Self, Error> {
        let incoming = follow(machine.client()?)?;
        let mut run = Self { machine, plan, tell, incoming, events: Vec::new() };
        let request = Request::Apply {
            manifest: plan.manifest.clone(),
            modules_dir: Some(run.machine.modules().to_owned()),
            lockstep: plan.pace == Pace::Virtual,
            pinned: plan.pinned,
        };
        match run.request(&request, APPLY_PATIENCE)? {
            Reply::Ok => run.note(Note::Applied { manifest: plan.manifest.clone() }),
            reply => return Err(wrong(&request, &reply)),
        }
        Ok(run)
    }

    /// Starts the sensor.
    ///
    /// # Errors
    /// [`Error::Start`].
    pub fn play(&mut self) -> Result<(), Error> {
        let (trace, sensor) = (&self.plan.scenario.trace, &self.plan.sensor);
        self.machine.feed(trace, self.plan.pace, sensor.block_samples, sensor.rate_hz)?;
        let length_us = u64::try_from(self.plan.trace_length.as_micros()).unwrap_or(u64::MAX);
        self.note(Note::TraceStarted { trace: trace.clone(), length_us });
        Ok(())
    }

    /// Waits until `found` says yes to an event that has not been seen before. `what` completes "waited in vain for ".
    ///
    /// # Errors
    /// [`Error::TimedOut`], and whatever [`Machine::supervise`] says.
    pub fn until(&mut self, what: &str, mut found: impl FnMut(&What) -> bool) -> Result<(), Error> {
        let mut seen = self.events.len();
        let cancel = self.machine.cancel().clone();
        cancel.wait(what, self.trace_patience(), || {
            self.look()?;
            let new = self.events.get(seen..).unwrap_or_default();
            seen = self.events.len();
            Ok(new.iter().any(|event| found(&event.what)).then_some(()))
        })
    }

    /// The machine, to disturb it.
    pub fn machine(&mut self) -> &mut Machine {
        self.machine
    }

    /// Follows the events of a daemon that was started anew.
    ///
    /// # Errors
    /// [`Error::Daemon`].
    pub fn reattach(&mut self) -> Result<(), Error> {
        self.incoming = follow(self.machine.client()?)?;
        Ok(())
    }

    /// Waits for the end of the trace and until all is settled, and judges.
    ///
    /// # Errors
    /// [`Error::TimedOut`], and whatever ended that should run.
    pub fn finish(mut self) -> Result<Outcome, Error> {
        let cancel = self.machine.cancel().clone();
        cancel.wait("the end of the trace", self.trace_patience(), || {
            self.look()?;
            Ok(self.machine.feed_done()?.then_some(()))
        })?;
        self.note(Note::TraceEnded);
        let report = self.settle()?;
        let verdicts = judge(&self.plan.scenario.expect, &report, &self.events);
        Ok(Outcome { report, events: self.events, verdicts })
    }

    fn trace_patience(&self) -> Duration {
        TRACE_PATIENCE + self.plan.trace_length * TRACE_SLOWNESS_MAX
    }

    /// Waits until no container works, moves or answers any more, and returns the numbers.
    fn settle(&mut self) -> Result<Report, Error> {
        let end = Instant::now() + SETTLE_PATIENCE;
        let mut last: Option<Report> = None;
        loop {
            let report = self.report()?;
            if at_rest(&report) && last.as_ref().is_some_and(|last| same_work(last, &report)) {
                return Ok(report);
            }
            if Instant::now() >= end {
                return Err(Error::TimedOut { what: "the machine to settle".into(), waited: SETTLE_PATIENCE });
            }
            last = Some(report);
            let pause = Instant::now() + SETTLED_FOR;
            let cancel = self.machine.cancel().clone();
            cancel.wait("a pause", SETTLE_PATIENCE, || {
                self.look()?;
                Ok((Instant::now() >= pause).then_some(()))
            })?;
        }
    }

    /// The machine in numbers, now.
    ///
    /// # Errors
    /// [`Error::Daemon`], and whatever [`Machine::supervise`] says.
    pub fn report(&mut self) -> Result<Report, Error> {
        match self.request(&Request::Report, REPORT_PATIENCE)? {
            Reply::Report(report) => Ok(report),
            reply => Err(wrong(&Request::Report, &reply)),
        }
    }

    /// Sends a request on a connection of its own and looks after the machine until the reply is there: an M core that
    /// dies meanwhile has to be started again, or there may be none.
    fn request(&mut self, request: &Request, patience: Duration) -> Result<Reply, Error> {
        let mut client = self.machine.client()?;
        client.set_timeout(Some(patience))?;
        let (sender, receiver) = channel();
        let sent = request.clone();
        // Ends with the reply, at the timeout, or when the daemon is killed. Nobody may be left to hear of it.
        thread::spawn(move || drop(sender.send(client.call(&sent))));
        let cancel = self.machine.cancel().clone();
        cancel.wait("an answer of coracled", patience, || {
            self.look()?;
            Ok(receiver.try_recv().ok().transpose()?)
        })
    }

    /// Takes in what happened since the last look.
    fn look(&mut self) -> Result<(), Error> {
        // A stream that has ended is no news: if the daemon is gone, `supervise` says so, and better.
        while let Ok(Ok(event)) = self.incoming.try_recv() {
            (self.tell)(&Happening::Event(event.clone()));
            self.events.push(event);
        }
        if let Some(how) = self.machine.supervise()? {
            self.note(Note::MCoreRestarted { how });
        }
        Ok(())
    }

    fn note(&mut self, note: Note) {
        (self.tell)(&Happening::Note(note));
    }
}

/// Whether no container is between two places.
fn at_rest(report: &Report) -> bool {
    report.containers.values().all(|container| container.state == RUNNING || container.state.starts_with(EXITED))
}

/// Whether nothing was finished between two reports. Fuel does not count, because a container in an endless loop uses it
/// for ever, nor does the link, which counts the reports themselves.
fn same_work(one: &Report, other: &Report) -> bool {
    let done = |report: &Report| {
        let events = report.containers.iter().map(|(name, container)| (name.clone(), container.events));
        (events.collect::<Vec<_>>(), report.wakes.clone(), report.moves.len())
    };
    done(one) == done(other)
}

/// Reads the events of a connection in a thread, which ends with the connection.
fn follow(mut client: Client) -> Result<Receiver<Result<Event, ClientError>>, Error> {
    client.set_timeout(None)?;
    let events = client.events()?;
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for event in events {
            let last = event.is_err();
            if sender.send(event).is_err() || last {
                break;
            }
        }
    });
    Ok(receiver)
}

fn wrong(request: &Request, reply: &Reply) -> Error {
    Error::WrongReply { request: format!("{request:?}"), reply: format!("{reply:?}") }
}
