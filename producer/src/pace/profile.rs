//! How the rate changes over time, and how many events that makes.

use common::units::{parse_count, parse_duration};
use std::str::FromStr;
use std::time::Duration;

/// The shape of a schedule. `rate` is what `--rate` says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Profile {
    /// `rate`, always.
    Steady,
    /// In a straight line from `from` events a second to `rate`, then `rate`.
    Ramp {
        /// Events a second at the start.
        from: u64,
        /// Time until `rate` is reached.
        over: Duration,
    },
    /// `rate`, and at the end of each period `times` as much.
    Spike {
        /// How many times `rate` a spike has.
        times: f64,
        /// How long it lasts.
        lasting: Duration,
        /// Length of a period: calm first, then the spike.
        every: Duration,
    },
    /// `rate` × (1 + amplitude × sin), which starts and on average stays at `rate`.
    Sine {
        /// Part of `rate` by which it goes up and down, from 0 to 1.
        amplitude: f64,
        /// Length of a wave.
        period: Duration,
    },
}

impl Profile {
    /// Events due in the first `micros` µs at `rate` events a second: the integral of the rate.
    pub(super) fn events_by(self, rate: f64, micros: f64) -> f64 {
        let per_micro = rate / MICROS;
        match self {
            // Multiplied first: exact as long as the product is below 2^53.
            Profile::Steady => rate * micros / MICROS,
            Profile::Ramp { from, over } => {
                let (from, over) = (from as f64 / MICROS, over.as_micros() as f64);
                let ramp = micros.min(over);
                from * ramp + (per_micro - from) * ramp * ramp / (2.0 * over) + per_micro * (micros - ramp)
            }
            Profile::Spike { times, lasting, every } => {
                let (lasting, every) = (lasting.as_micros() as f64, every.as_micros() as f64);
                let in_spikes = (micros / every).floor() * lasting;
                let in_this_spike = (micros % every - (every - lasting)).max(0.0);
                rate * (micros + (times - 1.0) * (in_spikes + in_this_spike)) / MICROS
            }
            Profile::Sine { amplitude, period } => {
                let pulse = std::f64::consts::TAU / period.as_micros() as f64;
                let wave = amplitude / pulse * (1.0 - (pulse * micros).cos());
                per_micro * (micros + wave)
            }
        }
    }
}

const MICROS: f64 = 1e6;

impl FromStr for Profile {
    type Err = String;

    /// Reads `steady`, `spike` or `spike:times=5,for=10s,every=1m`; what isn't named keeps its default.
    fn from_str(text: &str) -> Result<Profile, String> {
        let (name, parameters) = text.split_once(':').unwrap_or((text, ""));
        let mut parameters = Parameters::parse(name, parameters)?;
        let profile = match name {
            "steady" => Profile::Steady,
            "ramp" => Profile::Ramp {
                from: parameters.take("from", parse_count)?.unwrap_or(0),
                over: parameters.take("over", positive_duration)?.unwrap_or(Duration::from_secs(60)),
            },
            "spike" => Profile::Spike {
                times: parameters.take("times", |text| number(text, 0.0, 1e6))?.unwrap_or(5.0),
                lasting: parameters.take("for", positive_duration)?.unwrap_or(Duration::from_secs(10)),
                every: parameters.take("every", positive_duration)?.unwrap_or(Duration::from_secs(60)),
            },
            "sine" => Profile::Sine {
                amplitude: parameters.take("amplitude", |text| number(text, 0.0, 1.0))?.unwrap_or(0.5),
                period: parameters.take("period", positive_duration)?.unwrap_or(Duration::from_secs(60)),
            },
            _ => return Err(format!("expected steady, ramp, spike or sine, not '{name}'")),
        };
        parameters.finish()?;
        match profile {
            Profile::Spike { lasting, every, .. } if lasting >= every => {
                Err(format!("a spike for {lasting:?} does not fit into every {every:?}: make 'for' shorter"))
            }
            Profile::Steady | Profile::Ramp { .. } | Profile::Spike { .. } | Profile::Sine { .. } => {
                Ok(profile)
            }
        }
    }
}

/// `key=value` pairs behind a profile's name, each to be taken once.
struct Parameters<'a> {
    profile: &'a str,
    pairs: Vec<(&'a str, &'a str)>,
    known: Vec<&'static str>,
}

impl<'a> Parameters<'a> {
    fn parse(profile: &'a str, text: &'a str) -> Result<Parameters<'a>, String> {
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| format!("expected KEY=VALUE behind '{profile}:', not '{pair}'"))?;
            if pairs.iter().any(|&(other, _)| other == key) {
                return Err(format!("'{key}' stands twice in the profile"));
            }
            pairs.push((key, value));
        }
        Ok(Parameters { profile, pairs, known: Vec::new() })
    }

    fn take<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        self.known.push(key);
        let Some(index) = self.pairs.iter().position(|&(other, _)| other == key) else {
            return Ok(None);
        };
        let (_, value) = self.pairs.swap_remove(index);
        parse(value).map(Some).map_err(|reason| format!("{key}: {reason}"))
    }

    fn finish(self) -> Result<(), String> {
        let (profile, known) = (self.profile, self.known.join(", "));
        match self.pairs.first() {
            None => Ok(()),
            Some((key, _)) if known.is_empty() => {
                Err(format!("'{profile}' has no parameters, so no '{key}'"))
            }
            Some((key, _)) => Err(format!("'{profile}' has no parameter '{key}': it has {known}")),
        }
    }
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        duration if duration < Duration::from_millis(1) => Err(format!("at least 1ms, not '{text}'")),
        duration => Ok(duration),
    }
}

fn number(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let expected = || format!("expected a number from {least} to {most}, not '{text}'");
    let number: f64 = text.trim().parse().map_err(|_| expected())?;
    if (least..=most).contains(&number) { Ok(number) } else { Err(expected()) }
}
