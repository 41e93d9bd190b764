//! Many players on one thread: join at a rate, count, report.

use serde_json::{Value, json};

use crate::cli::Arguments;
use crate::dtls::Identity;
use crate::http::{Pool, Response, Url};
use crate::player::{Phase, Player, wall_offset_ns};
use crate::signalling::{Signalling, Step};
use crate::srtp::Profile;
use crate::stats::{Histogram, quantiles_ms};
use crate::sys::{self, Batch, Poll};

/// Poll tokens from here on are HTTP connections; those below are players.
const HTTP_TOKENS: u64 = 1 << 32;
const SECOND_NS: u64 = 1_000_000_000;
const TICK_NS: u64 = 10_000_000;

/// What is asked for.
struct Options {
    players: usize,
    /// Joins per second; 0 is all at once.
    rate: f64,
    settle_ns: u64,
    window_ns: u64,
    join_timeout_ns: u64,
    /// Players that decrypt everything.
    sample: usize,
    series_ns: u64,
    late_ns: u64,
    /// Time packets by this process's clock instead of the kernel's stamp.
    user_clock: bool,
    data_channel: bool,
    /// The server, for its CPU and memory.
    pid: Option<u32>,
}

/// Everything counted at one moment.
#[derive(Clone, Copy, Default)]
struct Totals {
    at_ns: u64,
    packets: u64,
    bytes: u64,
    server_cpu_ns: u64,
    own_cpu_ns: u64,
}

/// The run.
struct Load {
    options: Options,
    identity: Identity,
    poll: Poll,
    pool: Pool,
    signalling: Signalling,
    players: Vec<Player>,
    batch: Batch,
    /// Forwarding delays in the window, in the current interval, and before the window.
    delays: Histogram,
    interval: Histogram,
    late: u64,
    in_window: bool,
    wall_offset: u64,
    series: Vec<Value>,
    last: Totals,
    goodbyes: usize,
    /// CPU of the server when the first player joined.
    join_from_cpu_ns: u64,
}

impl Load {
    fn totals(&self) -> Totals {
        Totals {
            at_ns: sys::now_ns(),
            packets: self.players.iter().map(|player| player.packets).sum(),
            bytes: self.players.iter().map(|player| player.bytes).sum(),
            server_cpu_ns: self.options.pid.and_then(sys::process_cpu_ns).unwrap_or(0),
            own_cpu_ns: sys::process_cpu_ns(std::process::id()).unwrap_or(0),
        }
    }

    fn join(&mut self) -> Result<(), String> {
        let number = self.players.len();
        let spacing = (self.options.players / self.options.sample.max(1)).max(1);
        let sampled = self.options.sample > 0 && number.is_multiple_of(spacing);
        let player = Player::new(number, sampled, self.options.data_channel, sys::now_ns())
            .map_err(|error| error.to_string())?;
        if sampled && !self.options.user_clock {
            sys::stamp_arrivals(&player.transport.socket);
        }
        self.poll
            .add(&player.transport.socket, number as u64)
            .map_err(|error| error.to_string())?;
        self.signalling.join(
            number,
            &player.transport,
            &self.identity,
            &self.poll,
            &mut self.pool,
        );
        self.players.push(player);
        Ok(())
    }

    fn media_ready(&mut self, number: usize) {
        let Some(player) = self.players.get_mut(number) else {
            return;
        };
        let count = self.batch.receive(&player.transport.socket);
        let now = sys::now_ns();
        for index in 0..count {
            let stamp = player.receive(self.batch.datagram(index), &self.identity, now);
            if !player.sampled {
                continue;
            }
            let Some(stamp) = stamp else { continue };
            let arrival = self
                .batch
                .arrival_ns(index)
                .map_or(now, |wall| wall - self.wall_offset);
            let delay = arrival.saturating_sub(stamp);
            // What was cached before the player came is old on purpose.
            if stamp < player.connected_ns.unwrap_or(u64::MAX) {
                continue;
            }
            self.interval.add(delay);
            if self.in_window {
                self.delays.add(delay);
                self.late += u64::from(delay > self.options.late_ns);
            }
        }
    }

    fn http_ready(&mut self, token: u64) {
        let Some(response) = self.pool.ready(&self.poll, token) else {
            return;
        };
        if Signalling::is_goodbye(&response) {
            self.goodbyes = self.goodbyes.saturating_sub(1);
            return;
        }
        self.signalled(&response);
    }

    fn signalled(&mut self, response: &Response) {
        for step in self
            .signalling
            .receive(response, &self.poll, &mut self.pool)
        {
            let now = sys::now_ns();
            match step {
                Step::Refused(number, reason) => self.players[number].fail(&reason),
                Step::Answered(number, remote, location) => {
                    let player = &mut self.players[number];
                    player.location = location;
                    if let Err(reason) = player.transport.start(remote, true, &self.identity, now) {
                        player.fail(&reason);
                    }
                }
                Step::Offered(number, remote) => {
                    let player = &mut self.players[number];
                    self.signalling.answer(
                        number,
                        &remote,
                        &player.transport,
                        &self.identity,
                        &self.poll,
                        &mut self.pool,
                    );
                    if let Err(reason) = player.transport.start(remote, false, &self.identity, now)
                    {
                        player.fail(&reason);
                    }
                }
            }
        }
    }

    /// One turn of the loop.
    fn turn(&mut self, next_tick: &mut u64, tokens: &mut Vec<u64>) {
        let now = sys::now_ns();
        let left_ms = next_tick.saturating_sub(now).div_ceil(1_000_000);
        self.poll.wait(left_ms as i32, tokens);
        for token in tokens.iter() {
            if *token < HTTP_TOKENS {
                self.media_ready(*token as usize);
            } else {
                self.http_ready(*token);
            }
        }
        let now = sys::now_ns();
        if now >= *next_tick {
            *next_tick = now + TICK_NS;
            for player in &mut self.players {
                if player.phase != Phase::Failed {
                    player.tick(&self.identity, now);
                }
            }
            self.wall_offset = wall_offset_ns();
            if now >= self.last.at_ns + self.options.series_ns {
                self.interval_done();
            }
        }
    }

    fn interval_done(&mut self) {
        let totals = self.totals();
        let seconds = (totals.at_ns - self.last.at_ns) as f64 / 1e9;
        let connected = self
            .players
            .iter()
            .filter(|player| player.phase == Phase::Connected)
            .count();
        self.series.push(json!({
            "at_ns": totals.at_ns, "connected": connected, "window": self.in_window,
            "packets_per_second": (totals.packets - self.last.packets) as f64 / seconds,
            "bits_per_second": (totals.bytes - self.last.bytes) as f64 * 8.0 / seconds,
            "server_cpu": (totals.server_cpu_ns - self.last.server_cpu_ns) as f64 / 1e9 / seconds,
            "own_cpu": (totals.own_cpu_ns - self.last.own_cpu_ns) as f64 / 1e9 / seconds,
            "server_rss_bytes": self.options.pid.and_then(sys::process_rss_bytes),
            "delay_ms": self.interval.report_ms(),
        }));
        self.interval.clear();
        self.last = totals;
    }

    fn count(&self, phase: Phase) -> usize {
        self.players
            .iter()
            .filter(|player| player.phase == phase)
            .count()
    }
}

fn options(arguments: &Arguments) -> Result<Options, String> {
    let nanoseconds = |name, default: f64| {
        arguments
            .number(name, default)
            .map(|seconds| (seconds * 1e9) as u64)
    };
    Ok(Options {
        players: arguments.number("players", 1.0)? as usize,
        rate: arguments.number("rate", 100.0)?,
        settle_ns: nanoseconds("settle", 2.0)?,
        window_ns: nanoseconds("seconds", 10.0)?,
        join_timeout_ns: nanoseconds("join-timeout", 60.0)?,
        sample: arguments.number("sample", 20.0)? as usize,
        series_ns: (arguments.number("series-ms", 1000.0)? * 1e6) as u64,
        late_ns: (arguments.number("late-ms", 10.0)? * 1e6) as u64,
        data_channel: arguments.flag("data-channel"),
        user_clock: arguments.flag("user-clock"),
        pid: arguments
            .text("pid")
            .map(|pid| pid.parse().map_err(|_| format!("--pid {pid}")))
            .transpose()?,
    })
}

/// Join, settle, count for the window, leave; the report as JSON.
pub fn run(arguments: &Arguments, profile: Profile) -> Result<Value, String> {
    let options = options(arguments)?;
    let url = arguments.words.first().ok_or("a URL is needed")?;
    let poll = Poll::new().map_err(|error| error.to_string())?;
    let mut pool = Pool::new(
        &Url::parse(url)?.authority,
        arguments.text("token"),
        HTTP_TOKENS,
    );
    let kind = arguments.text("signalling").unwrap_or("whep");
    let signalling = Signalling::new(
        kind,
        &arguments.words,
        (arguments.flag("audio"), options.data_channel),
        &poll,
        &mut pool,
    )?;
    let mut load = Load {
        identity: Identity::new(profile).map_err(|error| error.to_string())?,
        poll,
        pool,
        signalling,
        players: Vec::with_capacity(options.players),
        batch: Batch::new(),
        delays: Histogram::new(),
        interval: Histogram::new(),
        late: 0,
        in_window: false,
        wall_offset: wall_offset_ns(),
        series: Vec::new(),
        last: Totals::default(),
        goodbyes: 0,
        join_from_cpu_ns: 0,
        options,
    };
    let rss_before = load.options.pid.and_then(sys::process_rss_bytes);
    let start = sys::now_ns();
    load.last = load.totals();
    load.join_from_cpu_ns = load.last.server_cpu_ns;
    let (mut next_tick, mut tokens) = (start, Vec::new());
    while load.count(Phase::Joining) > 0 || load.players.len() < load.options.players {
        let now = sys::now_ns();
        let due = if load.options.rate > 0.0 {
            ((now - start) as f64 / 1e9 * load.options.rate) as usize + 1
        } else {
            usize::MAX
        };
        while load.players.len() < due.min(load.options.players) {
            load.join()?;
        }
        load.turn(&mut next_tick, &mut tokens);
        if now - start > load.options.join_timeout_ns {
            break;
        }
    }
    let join_wall_ns = sys::now_ns() - start;
    let join_cpu_ns = load.totals().server_cpu_ns - load.join_from_cpu_ns;
    eprintln!(
        "joined {} of {}",
        load.count(Phase::Connected),
        load.options.players
    );
    let (settle_ns, window_ns) = (load.options.settle_ns, load.options.window_ns);
    run_until(&mut load, settle_ns, &mut next_tick, &mut tokens);
    let rss_joined = load.options.pid.and_then(sys::process_rss_bytes);
    load.players.iter_mut().for_each(Player::open_window);
    load.in_window = true;
    let before = load.totals();
    run_until(&mut load, window_ns, &mut next_tick, &mut tokens);
    let after = load.totals();
    load.in_window = false;
    let report = report(
        &load,
        before,
        after,
        Joined {
            wall_ns: join_wall_ns,
            cpu_ns: join_cpu_ns,
            rss_before,
            rss: rss_joined,
        },
    );
    let locations: Vec<String> = load
        .players
        .iter_mut()
        .filter_map(|player| player.location.take())
        .collect();
    load.goodbyes = load.signalling.leave(
        locations.iter().map(String::as_str),
        &load.poll,
        &mut load.pool,
    );
    let deadline = sys::now_ns() + 10 * SECOND_NS;
    while load.goodbyes > 0 && sys::now_ns() < deadline {
        load.turn(&mut next_tick, &mut tokens);
    }
    Ok(report)
}

fn run_until(load: &mut Load, duration_ns: u64, next_tick: &mut u64, tokens: &mut Vec<u64>) {
    let end = sys::now_ns() + duration_ns;
    while sys::now_ns() < end && !sys::stopped() {
        load.turn(next_tick, tokens);
    }
}

/// What joining took and what memory it left.
struct Joined {
    wall_ns: u64,
    cpu_ns: u64,
    rss_before: Option<u64>,
    rss: Option<u64>,
}

fn report(load: &Load, before: Totals, after: Totals, joined: Joined) -> Value {
    let seconds = (after.at_ns - before.at_ns) as f64 / 1e9;
    let packets = after.packets - before.packets;
    let (expected, received) = load
        .players
        .iter()
        .map(Player::window)
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let mut to_connected: Vec<u64> = load
        .players
        .iter()
        .filter_map(|player| Some(player.connected_ns? - player.posted_ns))
        .collect();
    let mut to_key: Vec<u64> = load
        .players
        .iter()
        .filter_map(|player| Some(player.first_key_ns? - player.posted_ns))
        .collect();
    let connected = load.count(Phase::Connected);
    let per_player = |rss: Option<u64>| {
        Some((rss? as f64 - joined.rss_before? as f64) / connected.max(1) as f64)
    };
    json!({
        "mode": "play",
        "players": load.options.players, "connected": connected, "failed": load.count(Phase::Failed),
        "seconds": seconds, "packets": packets, "bytes": after.bytes - before.bytes,
        "packets_per_second": packets as f64 / seconds,
        "packets_per_player_second": packets as f64 / seconds / connected.max(1) as f64,
        "bits_per_second": (after.bytes - before.bytes) as f64 * 8.0 / seconds,
        "expected": expected, "received": received, "missing": expected.saturating_sub(received),
        "loss": if expected > 0 { 1.0 - received as f64 / expected as f64 } else { 1.0 },
        "server_cpu": (after.server_cpu_ns - before.server_cpu_ns) as f64 / 1e9 / seconds,
        "server_cpu_ns_per_packet": load.options.pid.map(|_| (after.server_cpu_ns - before.server_cpu_ns) as f64 / packets.max(1) as f64),
        "own_cpu": (after.own_cpu_ns - before.own_cpu_ns) as f64 / 1e9 / seconds,
        "delay_ms": load.delays.report_ms(), "late": load.late,
        "sampled": load.players.iter().filter(|player| player.sampled).count(),
        "opened": load.players.iter().map(|player| player.opened).sum::<u64>(),
        "forged": load.players.iter().map(|player| player.forged).sum::<u64>(),
        "joins_per_second": connected as f64 / (joined.wall_ns as f64 / 1e9),
        "join_to_connected_ms": quantiles_ms(&mut to_connected), "join_to_key_frame_ms": quantiles_ms(&mut to_key),
        "join_server_cpu_s_per_player": joined.cpu_ns as f64 / 1e9 / connected.max(1) as f64,
        "channels": load.players.iter().filter(|player| player.channel_open()).count(),
        "server_rss_before_bytes": joined.rss_before, "server_rss_joined_bytes": joined.rss,
        "server_rss_after_bytes": load.options.pid.and_then(sys::process_rss_bytes),
        "server_rss_per_player_bytes": per_player(joined.rss),
        "series": load.series,
    })
}
