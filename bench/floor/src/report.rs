//! What a run prints.

use crate::options::Options;
use crate::reader::Received;
use crate::sender::Sent;

/// Both ends of a run.
pub struct Report {
    /// The sender's.
    pub sent: Sent,
    /// The receivers'.
    pub received: Received,
}

impl Report {
    fn cpu_ns_per_packet(&self) -> f64 {
        self.sent.cpu.as_nanos() as f64 / self.sent.packets.max(1) as f64
    }

    /// Share of a core that the sender used, in percent.
    fn cpu_percent(&self) -> f64 {
        100.0 * self.sent.cpu.as_secs_f64() / self.sent.wall.as_secs_f64()
    }

    /// Mean number of datagrams that one message held.
    fn segments(&self) -> f64 {
        self.sent.packets as f64 / self.sent.messages.max(1) as f64
    }

    /// One line for people.
    pub fn text(&self, options: &Options) -> String {
        format!(
            "{} receivers, {}, {} bursts: {:.0} ns of CPU per packet, {:.1} % of a core, \
             {} of {} packets received, {:.1} segments per message, {} late ticks",
            options.receivers,
            options.profile_name(),
            options.burst_name(),
            self.cpu_ns_per_packet(),
            self.cpu_percent(),
            self.received.packets,
            self.sent.packets,
            self.segments(),
            self.sent.late_ticks,
        )
    }

    /// One object for programs.
    pub fn json(&self, options: &Options) -> String {
        let members = [
            ("receivers", options.receivers.to_string()),
            ("rate_bps", options.rate_bps.to_string()),
            ("fps", options.fps.to_string()),
            ("burst", format!("{:?}", options.burst_name())),
            ("profile", format!("{:?}", options.profile_name())),
            ("flat_out", options.flat_out.to_string()),
            ("wall_s", format!("{:.3}", self.sent.wall.as_secs_f64())),
            ("packets_sent", self.sent.packets.to_string()),
            ("packets_received", self.received.packets.to_string()),
            ("authentic", self.received.authentic.to_string()),
            ("forged", self.received.forged.to_string()),
            ("segments_per_message", format!("{:.2}", self.segments())),
            (
                "cpu_ns_per_packet",
                format!("{:.1}", self.cpu_ns_per_packet()),
            ),
            ("cpu_percent", format!("{:.2}", self.cpu_percent())),
            (
                "reader_cpu_s",
                format!("{:.3}", self.received.cpu.as_secs_f64()),
            ),
            ("late_ticks", self.sent.late_ticks.to_string()),
        ];
        let members = members.map(|(name, value)| format!("\"{name}\": {value}"));
        format!("{{{}}}", members.join(", "))
    }
}
