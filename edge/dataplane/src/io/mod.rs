//! Acts: sockets, threads and the clock. Everything here feeds an `Engine` and sends what it says.

mod sys;
mod tcp;

use crate::engine::{Bus, Command, Engine, Event};
use crate::spec::Config;
use crate::transmit::{Batch, Message, Path};
use crate::types::Micros;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use sys::{EventFd, Poller};
use tcp::Tcp;

/// Seconds from 1900 to 1970 (RFC 868).
const NTP_UNIX_OFFSET: u64 = 2_208_988_800;
/// Bursts that wait for another worker; beyond it they are dropped and counted.
const BUS_DEPTH: usize = 1_024;
/// Rounds of `recvmmsg` before output gets its turn.
const MAX_RECEIVE_ROUNDS: usize = 16;
/// Interval of the busy ratio.
const BUSY_US: Micros = 1_000_000;
/// Longest sleep; a safety net, not a timer.
const MAX_SLEEP: Duration = Duration::from_millis(250);
/// Pause before a full TCP connection is tried again.
const TCP_RETRY: Duration = Duration::from_millis(5);

const TOKEN_UDP: u64 = 0;
const TOKEN_WAKE: u64 = 1;
const TOKEN_LISTENER: u64 = 2;

/// The clock all workers share.
#[derive(Clone, Copy, Debug)]
struct Clock {
    /// Microsecond 0.
    zero: Instant,
    /// NTP time of it.
    ntp_epoch: u64,
}

impl Clock {
    fn start() -> Self {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        let seconds = wall.as_secs() + NTP_UNIX_OFFSET;
        let fraction = (u64::from(wall.subsec_nanos()) << 32) / 1_000_000_000;
        Clock {
            zero: Instant::now(),
            ntp_epoch: (seconds << 32) | fraction,
        }
    }

    fn now(&self) -> Micros {
        self.zero.elapsed().as_micros() as Micros
    }
}

/// Wakes a worker. A worker that was woken and has not looked yet is not woken again: each write
/// to an eventfd may cost a switch of threads.
#[derive(Debug)]
struct Waker {
    /// Readable when woken.
    event: EventFd,
    /// Whether it was woken and has not looked.
    woken: AtomicBool,
}

impl Waker {
    fn new() -> io::Result<Self> {
        Ok(Waker {
            event: EventFd::new()?,
            woken: AtomicBool::new(false),
        })
    }

    /// To be called after the message was put where the worker looks.
    fn wake(&self) {
        if !self.woken.swap(true, Ordering::SeqCst) {
            self.event.wake();
        }
    }

    /// To be called when the descriptor was readable, before the worker looks.
    fn reset(&self) {
        self.event.reset();
        self.woken.store(false, Ordering::SeqCst);
    }
}

/// Events on their way to Python.
#[derive(Debug)]
pub struct Mailbox {
    /// In order of arrival.
    events: Mutex<Vec<Event>>,
    /// Readable while there are any.
    ready: EventFd,
}

impl Mailbox {
    /// Take everything.
    pub fn take(&self) -> Vec<Event> {
        self.ready.reset();
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut events)
    }

    /// The descriptor to wait for.
    pub fn descriptor(&self) -> RawFd {
        self.ready.as_raw_fd()
    }

    fn put(&self, new: Vec<Event>) {
        if new.is_empty() {
            return;
        }
        self.events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(new);
        self.ready.wake();
    }
}

/// How others reach a worker.
#[derive(Debug)]
struct Inbox {
    /// Commands of Python.
    commands: Sender<Command>,
    /// Packets of other workers.
    bus: SyncSender<Bus>,
    /// Wakes the worker.
    wake: Arc<Waker>,
}

/// All workers.
#[derive(Debug)]
pub struct Workers {
    /// By worker number.
    inboxes: Vec<Inbox>,
    /// Threads, until joined.
    threads: Vec<JoinHandle<()>>,
    /// Ports, by worker number.
    ports: Vec<u16>,
    /// For Python.
    pub mailbox: Arc<Mailbox>,
}

/// What a worker thread owns.
struct Worker {
    number: u16,
    config: Arc<Config>,
    clock: Clock,
    engine: Engine,
    socket: UdpSocket,
    tcp: Option<Tcp>,
    poller: Poller,
    wake: Arc<Waker>,
    commands: Receiver<Command>,
    bus: Receiver<Bus>,
    peers: Vec<(SyncSender<Bus>, Arc<Waker>)>,
    mailbox: Arc<Mailbox>,
    receiver: sys::Receiver,
    sender: sys::Sender,
    gso: bool,
    busy_since: (Micros, Duration),
}

impl Workers {
    /// Bind all ports and start the threads.
    pub fn start(config: Config) -> io::Result<Self> {
        let config = Arc::new(config);
        let clock = Clock::start();
        let mailbox = Arc::new(Mailbox {
            events: Mutex::new(Vec::new()),
            ready: EventFd::new()?,
        });
        let mut inboxes = Vec::new();
        let mut receivers = Vec::new();
        for _ in 0..config.workers.max(1) {
            let (commands, command_receiver) = channel();
            let (bus, bus_receiver) = sync_channel(BUS_DEPTH);
            let wake = Arc::new(Waker::new()?);
            receivers.push((command_receiver, bus_receiver, Arc::clone(&wake)));
            inboxes.push(Inbox {
                commands,
                bus,
                wake,
            });
        }
        let mut threads = Vec::new();
        let mut ports = Vec::new();
        for (number, (commands, bus, wake)) in receivers.into_iter().enumerate() {
            let peers = inboxes
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != number)
                .map(|(_, inbox)| (inbox.bus.clone(), Arc::clone(&inbox.wake)))
                .collect();
            let mut worker = Worker::new(
                number as u16,
                &config,
                clock,
                (commands, bus, wake),
                peers,
                Arc::clone(&mailbox),
            )?;
            ports.push(worker.socket.local_addr()?.port());
            let thread = std::thread::Builder::new().name(format!("edge-udp-{number}"));
            threads.push(thread.spawn(move || worker.run())?);
        }
        Ok(Workers {
            inboxes,
            threads,
            ports,
            mailbox,
        })
    }

    /// Ports by worker number.
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// Give one worker a command; an unknown worker or one that ended ignores it.
    pub fn command(&self, worker: usize, command: Command) {
        if let Some(inbox) = self.inboxes.get(worker)
            && inbox.commands.send(command).is_ok()
        {
            inbox.wake.wake();
        }
    }

    /// Give all workers a command.
    pub fn command_all(&self, make: impl Fn() -> Command) {
        for worker in 0..self.inboxes.len() {
            self.command(worker, make());
        }
    }

    /// Stop and join. Idempotent.
    pub fn stop(&mut self) {
        self.command_all(|| Command::Stop);
        for thread in self.threads.drain(..) {
            // A worker that panicked has said so in its "stopped" event.
            drop(thread.join());
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Worker {
    fn new(
        number: u16,
        config: &Arc<Config>,
        clock: Clock,
        (commands, bus, wake): (Receiver<Command>, Receiver<Bus>, Arc<Waker>),
        peers: Vec<(SyncSender<Bus>, Arc<Waker>)>,
        mailbox: Arc<Mailbox>,
    ) -> io::Result<Self> {
        let ip: IpAddr = config
            .bind
            .parse()
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "bind: not an IP address"))?;
        let (socket, listener) = bind(ip, number, config)?;
        socket.set_nonblocking(true)?;
        let fd = socket.as_raw_fd();
        sys::prepare_udp(fd, ip.is_ipv6(), config.dscp)?;
        let granted = sys::set_buffer(fd, true, config.receive_buffer_bytes)?;
        sys::set_buffer(fd, false, config.send_buffer_bytes)?;
        let poller = Poller::new()?;
        poller.add(fd, TOKEN_UDP)?;
        poller.add(wake.event.as_raw_fd(), TOKEN_WAKE)?;
        let tcp = listener.map(Tcp::new).transpose()?;
        if let Some(tcp) = &tcp {
            poller.add(tcp.listener().as_raw_fd(), TOKEN_LISTENER)?;
        }
        let gso = config.gso && sys::has_gso(fd);
        let mut engine = Engine::new(Arc::clone(config), clock.ntp_epoch, !peers.is_empty());
        engine.stats.receive_buffer_bytes = granted as u64;
        engine.stats.gso = gso;
        Ok(Worker {
            number,
            config: Arc::clone(config),
            clock,
            engine,
            socket,
            tcp,
            poller,
            wake,
            commands,
            bus,
            peers,
            mailbox,
            receiver: sys::Receiver::new(),
            sender: sys::Sender::new(ip.is_ipv6(), config.dscp),
            gso,
            busy_since: (0, Duration::ZERO),
        })
    }

    fn run(&mut self) {
        if let Some(cpu) = self.config.pin_cpus.get(usize::from(self.number))
            && let Err(error) = sys::pin(*cpu)
        {
            self.tell_stopped(format!("cannot run on CPU {cpu}: {error}"));
            return;
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.serve()));
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.tell_stopped(error.to_string()),
            Err(panic) => {
                let text = panic
                    .downcast_ref::<&str>()
                    .map(ToString::to_string)
                    .or_else(|| panic.downcast_ref::<String>().cloned());
                self.tell_stopped(text.unwrap_or_else(|| "panic".to_owned()));
            }
        }
    }

    fn tell_stopped(&self, reason: String) {
        self.mailbox.put(vec![Event::Stopped {
            worker: self.number,
            reason,
        }]);
    }

    fn serve(&mut self) -> io::Result<()> {
        let mut batch = Batch::default();
        let mut ready = Vec::new();
        let mut tcp_waiting = false;
        loop {
            ready.clear();
            let timeout = self.timeout(tcp_waiting);
            self.poller.wait(Some(timeout), &mut ready)?;
            if ready.contains(&TOKEN_WAKE) {
                self.wake.reset();
            }
            let now = self.clock.now();
            if self.take_commands(now) {
                // The goodbyes of sessions that were closed just before.
                self.flush(&mut batch);
                if let Some(tcp) = self.tcp.as_mut() {
                    tcp.flush();
                }
                return Ok(());
            }
            while let Ok(message) = self.bus.try_recv() {
                self.engine.handle_bus(message, now);
            }
            self.receive_udp()?;
            self.receive_tcp(&ready);
            self.flush(&mut batch);
            tcp_waiting = self.tcp.as_mut().is_some_and(Tcp::flush);
            self.mailbox.put(self.engine.take_events());
            self.tell_peers();
            self.measure_busy();
        }
    }

    fn timeout(&self, tcp_waiting: bool) -> Duration {
        let now = self.clock.now();
        let longest = if tcp_waiting { TCP_RETRY } else { MAX_SLEEP };
        self.engine.deadline().map_or(longest, |deadline| {
            Duration::from_micros(deadline.saturating_sub(now)).min(longest)
        })
    }

    /// True when it is time to stop.
    fn take_commands(&mut self, now: Micros) -> bool {
        while let Ok(command) = self.commands.try_recv() {
            if matches!(command, Command::Stop) {
                return true;
            }
            self.engine.handle_command(command, now);
        }
        false
    }

    fn receive_udp(&mut self) -> io::Result<()> {
        let fd = self.socket.as_raw_fd();
        for _ in 0..MAX_RECEIVE_ROUNDS {
            let count = self.receiver.receive(fd)?;
            let now = self.clock.now();
            for (peer, datagram) in self.receiver.datagrams(count) {
                self.engine.handle_datagram(Path::Udp(peer), datagram, now);
            }
            if count < sys::RECEIVE_MESSAGES {
                break;
            }
        }
        self.engine.stats.udp_receive_drops = u64::from(self.receiver.dropped);
        Ok(())
    }

    fn receive_tcp(&mut self, ready: &[u64]) {
        let Some(tcp) = self.tcp.as_mut() else {
            return;
        };
        let now = self.clock.now();
        for token in ready {
            if *token == TOKEN_LISTENER {
                tcp.accept(&self.poller);
            } else if let Some(number) = Tcp::connection(*token) {
                let (frames, ended) = tcp.read(number);
                let path = Path::Tcp(number);
                for mut frame in frames {
                    self.engine.handle_datagram(path, &mut frame, now);
                }
                if ended {
                    self.engine.handle_closed(path);
                }
            }
        }
    }

    fn flush(&mut self, batch: &mut Batch) {
        loop {
            let now = self.clock.now();
            let more = self.engine.poll(batch, now);
            if !batch.is_empty() {
                let refused = self.send(batch);
                self.engine.on_sent(batch, refused, self.clock.now());
                batch.clear();
            }
            if !more {
                return;
            }
        }
    }

    /// Send a batch; returns the datagrams that were not taken.
    fn send(&mut self, batch: &Batch) -> u64 {
        let mut refused = 0;
        let mut rest = batch.messages();
        while let Some(message) = rest.first() {
            let (taken, lost) = match message.path {
                Path::Tcp(number) => (1, self.send_tcp(number, batch, message)),
                Path::Udp(_) if !self.gso && message.segments() > 1 => {
                    (1, self.send_segments(batch, message))
                }
                Path::Udp(_) => self.send_udp(batch, rest),
            };
            refused += lost;
            rest = rest.get(taken..).unwrap_or(&[]);
        }
        refused
    }

    /// Send as many messages as go at once. Returns how many are done with, and datagrams lost.
    fn send_udp(&mut self, batch: &Batch, messages: &[Message]) -> (usize, u64) {
        let plain = messages
            .iter()
            .take_while(|message| {
                matches!(message.path, Path::Udp(_)) && (self.gso || message.segments() == 1)
            })
            .count();
        let messages = messages.get(..plain).unwrap_or(&[]);
        let (taken, error) = self.sender.send(self.socket.as_raw_fd(), batch, messages);
        let Some(error) = error else {
            return (taken.max(1), 0);
        };
        let Some(first) = messages.first() else {
            return (1, 0);
        };
        match error.raw_os_error() {
            // The path cannot segment (no checksum offload): one datagram at a time from now on.
            Some(libc::EIO | libc::EINVAL) if self.gso && first.segments() > 1 => {
                self.gso = false;
                self.engine.stats.gso = false;
                (1, self.send_segments(batch, first))
            }
            // The buffer is full: who is slow loses packets, the others do not wait.
            _ => (1, first.segments() as u64),
        }
    }

    fn send_segments(&mut self, batch: &Batch, message: &Message) -> u64 {
        let mut lost = 0;
        let mut start = message.start;
        while start < message.end {
            let end = (start + message.segment).min(message.end);
            let single = Message {
                start,
                end,
                segment: end - start,
                ..*message
            };
            let (taken, _) = self.sender.send(self.socket.as_raw_fd(), batch, &[single]);
            lost += u64::from(taken == 0);
            start = end;
        }
        lost
    }

    fn send_tcp(&mut self, number: u32, batch: &Batch, message: &Message) -> u64 {
        let Some(tcp) = self.tcp.as_mut() else {
            return message.segments() as u64;
        };
        let mut lost = 0;
        for datagram in batch.datagrams(message) {
            lost += u64::from(!tcp.send(number, datagram));
        }
        lost
    }

    fn tell_peers(&mut self) {
        let messages = self.engine.take_bus();
        if messages.is_empty() {
            return;
        }
        for (peer, wake) in &self.peers {
            for message in &messages {
                if peer.try_send(message.clone()).is_err() {
                    self.engine.stats.bus_dropped += 1;
                }
            }
            wake.wake();
        }
    }

    fn measure_busy(&mut self) {
        let now = self.clock.now();
        let (since, cpu_then) = self.busy_since;
        if now.saturating_sub(since) < BUSY_US {
            return;
        }
        let cpu = sys::thread_cpu();
        let spent = cpu.saturating_sub(cpu_then).as_micros() as f64;
        self.engine.stats.busy_ratio = spent / (now - since) as f64;
        self.busy_since = (now, cpu);
    }
}

/// Bind a worker's UDP socket, and a TCP listener on the same port where wanted.
fn bind(ip: IpAddr, number: u16, config: &Config) -> io::Result<(UdpSocket, Option<TcpListener>)> {
    let port = match config.port {
        0 => 0,
        first => first.checked_add(number).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "port range passes 65535")
        })?,
    };
    let name = |error: io::Error, protocol: &str, port: u16| {
        io::Error::new(
            error.kind(),
            format!("{protocol} port {port} on {ip}: {error}"),
        )
    };
    // With port 0 the kernel's UDP choice may be taken for TCP: try a few.
    let mut last = None;
    for _ in 0..16 {
        let socket =
            UdpSocket::bind(SocketAddr::new(ip, port)).map_err(|e| name(e, "UDP", port))?;
        if !config.tcp {
            return Ok((socket, None));
        }
        let chosen = socket.local_addr()?;
        match TcpListener::bind(chosen) {
            Ok(listener) => return Ok((socket, Some(listener))),
            Err(error) => last = Some(name(error, "TCP", chosen.port())),
        }
        if port != 0 {
            break;
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}
