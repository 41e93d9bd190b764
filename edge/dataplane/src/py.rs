//! The only door to Python: class `DataPlane` of `edge/_dataplane.pyi`.
// The macros of pyo3 expand to unsafe code.
#![allow(unsafe_code, missing_docs)]

use crate::engine::{Command, Event};
use crate::io::Workers;
use crate::spec::{Config, Ice};
use crate::srtp::Profile;
use crate::stats::{BOUNDS_US, Snapshot};
use crate::transmit::Path;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use serde::de::DeserializeOwned;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Longest wait for a worker's answer; a worker that takes longer is stuck.
const ANSWER: Duration = Duration::from_millis(500);
/// The worker's number stands above this many bits of a handle.
const WORKER_SHIFT: u32 = 48;

#[pyclass(module = "edge._dataplane")]
struct DataPlane {
    workers: Mutex<Option<Workers>>,
    next_handle: AtomicU64,
    next_epoch: AtomicU32,
}

fn parse<T: DeserializeOwned>(what: &str, json: &str) -> PyResult<T> {
    serde_json::from_str(json).map_err(|error| PyValueError::new_err(format!("{what}: {error}")))
}

impl DataPlane {
    fn with<T>(&self, default: T, act: impl FnOnce(&Workers) -> T) -> T {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.as_ref().map_or(default, act)
    }

    fn command(&self, handle: u64, command: Command) {
        let worker = (handle >> WORKER_SHIFT) as usize;
        self.with((), |workers| workers.command(worker, command));
    }

    fn worker_of(handle: u64) -> usize {
        (handle >> WORKER_SHIFT) as usize
    }
}

#[pymethods]
impl DataPlane {
    #[new]
    fn new(config: &str) -> PyResult<Self> {
        let config: Config = parse("config", config)?;
        let workers = Workers::start(config).map_err(|error| {
            if error.kind() == std::io::ErrorKind::InvalidInput {
                PyValueError::new_err(error.to_string())
            } else {
                PyOSError::new_err(error.to_string())
            }
        })?;
        Ok(DataPlane {
            workers: Mutex::new(Some(workers)),
            next_handle: AtomicU64::new(1),
            next_epoch: AtomicU32::new(1),
        })
    }

    fn ports(&self) -> Vec<u16> {
        self.with(Vec::new(), |workers| workers.ports().to_vec())
    }

    fn event_fd(&self) -> PyResult<i32> {
        self.with(None, |workers| Some(workers.mailbox.descriptor()))
            .ok_or_else(|| PyRuntimeError::new_err("the data plane is closed"))
    }

    fn open_session(&self, worker: u16, ice: &str) -> PyResult<u64> {
        let ice: Ice = parse("ice", ice)?;
        let count = self.with(0, |workers| workers.ports().len());
        if usize::from(worker) >= count {
            return Err(PyValueError::new_err(format!("no worker {worker}")));
        }
        let number = self.next_handle.fetch_add(1, Ordering::Relaxed);
        let handle = (u64::from(worker) << WORKER_SHIFT) | number;
        self.command(handle, Command::OpenSession { handle, ice });
        Ok(handle)
    }

    fn restart_ice(&self, session: u64, ice: &str) -> PyResult<()> {
        let ice: Ice = parse("ice", ice)?;
        self.command(
            session,
            Command::RestartIce {
                handle: session,
                ice,
            },
        );
        Ok(())
    }

    fn send(&self, session: u64, datagram: &[u8]) {
        let datagram = datagram.to_vec();
        self.command(
            session,
            Command::Send {
                handle: session,
                datagram,
            },
        );
    }

    fn set_keys(&self, session: u64, profile: &str, local: &[u8], remote: &[u8]) -> PyResult<()> {
        let profile = Profile::from_name(profile)
            .ok_or_else(|| PyValueError::new_err(format!("unknown SRTP profile {profile}")))?;
        let size = profile.key_len() + profile.salt_len();
        if local.len() != size || remote.len() != size {
            return Err(PyValueError::new_err(format!("keys need {size} bytes")));
        }
        let command = Command::SetKeys {
            handle: session,
            profile,
            local: local.to_vec(),
            remote: remote.to_vec(),
        };
        self.command(session, command);
        Ok(())
    }

    fn add_publisher(&self, session: u64, stream: u32, spec: &str) -> PyResult<()> {
        let spec = parse("publisher", spec)?;
        let epoch = self.next_epoch.fetch_add(1, Ordering::Relaxed);
        let command = Command::AddPublisher {
            handle: session,
            stream,
            epoch,
            spec,
        };
        self.command(session, command);
        Ok(())
    }

    fn add_subscriber(&self, session: u64, stream: u32, spec: &str) -> PyResult<()> {
        let spec = parse("subscriber", spec)?;
        let command = Command::AddSubscriber {
            handle: session,
            stream,
            spec,
        };
        self.command(session, command);
        Ok(())
    }

    fn select_layer(&self, session: u64, selection: &str) -> PyResult<()> {
        let selection = parse("selection", selection)?;
        self.command(
            session,
            Command::Select {
                handle: session,
                selection,
            },
        );
        Ok(())
    }

    #[pyo3(signature = (stream, tier))]
    fn set_tier(&self, stream: Option<u32>, tier: u8) -> PyResult<()> {
        if tier > 4 {
            return Err(PyValueError::new_err("tier must be 0 to 4"));
        }
        self.with((), |workers| {
            workers.command_all(|| Command::SetTier { stream, tier });
        });
        Ok(())
    }

    fn request_keyframe(&self, stream: u32) {
        self.with((), |workers| {
            workers.command_all(|| Command::RequestKeyframe { stream });
        });
    }

    fn remove(&self, session: u64) {
        self.command(session, Command::Remove { handle: session });
    }

    fn remove_stream(&self, stream: u32) {
        self.with((), |workers| {
            workers.command_all(|| Command::RemoveStream { stream });
        });
    }

    fn poll_events<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let events = self.with(Vec::new(), |workers| workers.mailbox.take());
        events.into_iter().map(|event| tuple(py, event)).collect()
    }

    fn stats(&self, py: Python<'_>) -> PyResult<String> {
        let snapshots = py.detach(|| self.snapshots());
        let (workers, streams): (Vec<_>, Vec<_>) = snapshots
            .into_iter()
            .map(|snapshot| (snapshot.worker, snapshot.streams))
            .unzip();
        let value = serde_json::json!({
            "bounds_us": BOUNDS_US,
            "workers": workers,
            "streams": streams.into_iter().flatten().collect::<Vec<_>>(),
        });
        Ok(value.to_string())
    }

    fn session_stats(&self, py: Python<'_>, session: u64) -> Option<String> {
        let (reply, answer) = channel();
        let command = Command::SessionStats {
            handle: session,
            reply,
        };
        self.with((), |workers| {
            workers.command(Self::worker_of(session), command)
        });
        let stats = py
            .detach(move || answer.recv_timeout(ANSWER))
            .ok()
            .flatten()?;
        serde_json::to_string(&stats).ok()
    }

    fn close(&self, py: Python<'_>) {
        let workers = self
            .workers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        py.detach(|| drop(workers));
    }
}

impl DataPlane {
    fn snapshots(&self) -> Vec<Snapshot> {
        let (reply, answers) = channel();
        let count = self.with(0, |workers| {
            workers.command_all(|| Command::Stats {
                reply: reply.clone(),
            });
            workers.ports().len()
        });
        drop(reply);
        (0..count)
            .filter_map(|_| answers.recv_timeout(ANSWER).ok())
            .collect()
    }
}

fn tuple(py: Python<'_>, event: Event) -> PyResult<Bound<'_, PyTuple>> {
    let none = py.None();
    match event {
        Event::PathSelected { handle, path } => {
            let (address, protocol) = match path {
                Path::Udp(address) => (address.to_string(), "udp"),
                Path::Tcp(number) => (format!("tcp#{number}"), "tcp"),
            };
            ("path_selected", handle, (address, protocol)).into_pyobject(py)
        }
        Event::Dtls { handle, datagram } => {
            ("dtls", handle, PyBytes::new(py, &datagram)).into_pyobject(py)
        }
        Event::ConsentLapsed { handle } => ("consent_lapsed", handle, none).into_pyobject(py),
        Event::Publishing { stream, handle } => ("publishing", stream, handle).into_pyobject(py),
        Event::Idle { stream, handle } => ("idle", stream, handle).into_pyobject(py),
        Event::Layers { stream, layers } => {
            let json = serde_json::to_string(&layers)
                .map_err(|error| PyValueError::new_err(error.to_string()))?;
            ("layers", stream, json).into_pyobject(py)
        }
        Event::FirstFrame { handle, after } => {
            ("first_frame", handle, after as f64 / 1e6).into_pyobject(py)
        }
        Event::LayerSwitched { handle, rid } => ("layer_switched", handle, rid).into_pyobject(py),
        Event::Stopped { worker, reason } => ("stopped", worker, reason).into_pyobject(py),
    }
}

/// The Python module.
#[pymodule]
fn _dataplane(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<DataPlane>()
}
