//! When each event is due: an absolute schedule, which never slips because sending was slow.
//!
//! A [`Profile`] says how many events are due by a time. [`Pace`] walks over it in ticks of a millisecond and
//! gives the events of each tick that is over their own due times, interpolated within the tick. Pure: time
//! comes in as an argument. A sender that was away gets everything it missed, with the due times of old.

mod profile;

pub(crate) use profile::Profile;

use std::time::Duration;

/// Length of a tick: events are sent within this time after they are due.
pub(crate) const TICK: Duration = Duration::from_micros(TICK_MICROS);
const TICK_MICROS: u64 = 1_000;

/// How many events, when.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Schedule {
    /// Events a second; 0 is as fast as possible.
    pub(crate) rate_per_second: u64,
    /// How the rate changes over time.
    pub(crate) profile: Profile,
    /// Ends after so many events.
    pub(crate) count: Option<u64>,
    /// Ends after this time.
    pub(crate) duration: Option<Duration>,
}

impl Schedule {
    /// Events due `micros` µs after the start, with the fraction of the next one.
    fn events_by(&self, micros: u64) -> f64 {
        let end = self.duration.map_or(u64::MAX, |duration| duration.as_micros() as u64);
        let events = self.profile.events_by(self.rate_per_second as f64, micros.min(end) as f64);
        self.count.map_or(events, |count| events.min(count as f64))
    }

    /// Events of the whole schedule; none when it has no end or depends on how fast sending is.
    pub(crate) fn total(&self) -> Option<u64> {
        match (self.duration, self.rate_per_second) {
            (Some(_), 1..) => Some(whole(self.events_by(u64::MAX))),
            (Some(_), 0) | (None, _) => self.count,
        }
    }
}

/// Whole events in `events`; what is missing by a rounding error counts as there.
fn whole(events: f64) -> u64 {
    (events + 1e-6) as u64
}

/// The schedule as it is worked off.
#[derive(Debug)]
pub(crate) struct Pace {
    schedule: Schedule,
    started: u64,
    total: Option<u64>,
    taken: u64,
    tick: Tick,
    /// Only without a rate: the duration is over.
    over: bool,
}

/// The tick whose events are being taken.
#[derive(Debug, Default)]
struct Tick {
    /// Its end, µs after the start.
    end: u64,
    /// Events due by its end; those by its start are taken before it is opened.
    events_by_end: f64,
    /// µs from event to event.
    step: f64,
}

impl Pace {
    /// A schedule that starts at `started`, µs since the epoch.
    pub(crate) fn new(schedule: Schedule, started: u64) -> Pace {
        Pace { schedule, started, total: schedule.total(), taken: 0, tick: Tick::default(), over: false }
    }

    /// Moves the start: nothing may have been taken yet.
    pub(crate) fn start(&mut self, started: u64) {
        self.started = started;
    }

    /// Events of the whole schedule, if that is known.
    pub(crate) fn total(&self) -> Option<u64> {
        self.total
    }

    /// Replaces `dues` by the due times (µs since the epoch, ascending) of the next events that are due by
    /// `now`, at most `at_most` of them.
    pub(crate) fn take(&mut self, now: u64, at_most: usize, dues: &mut Vec<u64>) {
        dues.clear();
        if self.schedule.rate_per_second == 0 {
            return self.take_unpaced(now, at_most, dues);
        }
        let elapsed = now.saturating_sub(self.started);
        loop {
            let open = whole(self.tick.events_by_end) - self.taken;
            let take = open.min((at_most - dues.len()) as u64);
            for _ in 0..take {
                self.taken += 1;
                let before_end = (self.tick.events_by_end - self.taken as f64).max(0.0) * self.tick.step;
                dues.push(self.started + self.tick.end - before_end as u64);
            }
            if dues.len() == at_most || self.is_done() || self.tick.end + TICK_MICROS > elapsed {
                return;
            }
            self.open_next_tick();
        }
    }

    fn open_next_tick(&mut self) {
        let end = self.tick.end + TICK_MICROS;
        // `max`: rounding may never take an event back.
        let events_by_end = self.schedule.events_by(end).max(self.tick.events_by_end);
        let step = TICK_MICROS as f64 / (events_by_end - self.tick.events_by_end).max(1e-9);
        self.tick = Tick { end, events_by_end, step };
    }

    fn take_unpaced(&mut self, now: u64, at_most: usize, dues: &mut Vec<u64>) {
        let end = self.schedule.duration.map_or(u64::MAX, |duration| duration.as_micros() as u64);
        self.over = now.saturating_sub(self.started) >= end;
        if !self.over {
            let left = self.schedule.count.map_or(u64::MAX, |count| count - self.taken);
            let take = left.min(at_most as u64);
            self.taken += take;
            dues.extend(std::iter::repeat_n(now, take as usize));
        }
    }

    /// True once every event of the schedule was taken.
    pub(crate) fn is_done(&self) -> bool {
        self.over || self.total == Some(self.taken)
    }

    /// Events due by `now` and not taken yet: how far the sender is behind.
    pub(crate) fn behind(&self, now: u64) -> u64 {
        match self.schedule.rate_per_second {
            0 => 0,
            _ => whole(self.schedule.events_by(now.saturating_sub(self.started))).saturating_sub(self.taken),
        }
    }
}

#[cfg(test)]
mod tests;
