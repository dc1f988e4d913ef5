use super::*;
use proptest::prelude::*;

const START: u64 = 1_763_796_739_000_000;
const SECOND: u64 = 1_000_000;

fn schedule(rate_per_second: u64, profile: &str) -> Schedule {
    let profile = profile.parse().expect("a profile");
    Schedule { rate_per_second, profile, count: None, duration: None }
}

/// All dues, taken by a sender who looks at the clock after each of `pauses` (µs), and for as long as it takes
/// once those are over; relative to the start.
fn dues(schedule: Schedule, pauses: &[u64], at_most: usize) -> Vec<u64> {
    let mut pace = Pace::new(schedule, START);
    let (mut now, mut all, mut batch) = (START, Vec::new(), Vec::new());
    let mut pauses = pauses.iter().copied().chain(std::iter::repeat(700));
    while !pace.is_done() {
        now += pauses.next().expect("an endless iterator");
        pace.take(now, at_most, &mut batch);
        assert!(batch.len() <= at_most);
        assert!(batch.iter().all(|&due| due <= now), "no event before it is due");
        all.extend(batch.iter().map(|due| due - START));
    }
    all
}

fn for_seconds(schedule: Schedule, seconds: u64) -> Vec<u64> {
    dues(Schedule { duration: Some(Duration::from_secs(seconds)), ..schedule }, &[], 5_000)
}

/// Events due in each second.
fn by_second(dues: &[u64], seconds: u64) -> Vec<usize> {
    (0..seconds)
        .map(|s| dues.iter().filter(|&&due| due > s * SECOND && due <= (s + 1) * SECOND).count())
        .collect()
}

#[test]
fn steady_spaces_events_evenly() {
    assert_eq!(for_seconds(schedule(4, "steady"), 2), (1..=8).map(|i| i * 250_000).collect::<Vec<_>>());
    let dues = for_seconds(schedule(500_000, "steady"), 2);
    assert_eq!(dues.len(), 1_000_000);
    assert!(dues.iter().enumerate().all(|(i, &due)| due.abs_diff((i as u64 + 1) * 2) <= 1));
}

#[test]
fn ramp_goes_up_in_a_straight_line_and_stays() {
    let dues = for_seconds(schedule(1000, "ramp:from=0,over=2s"), 3);
    assert_eq!(by_second(&dues, 3), [250, 750, 1000]);
    let dues = for_seconds(schedule(100, "ramp:from=300,over=2s"), 3);
    assert_eq!(by_second(&dues, 3), [250, 150, 100]);
}

#[test]
fn spike_multiplies_the_rate_at_the_end_of_each_period() {
    let dues = for_seconds(schedule(100, "spike:times=5,for=1s,every=3s"), 7);
    assert_eq!(by_second(&dues, 7), [100, 100, 500, 100, 100, 500, 100]);
    let five_times_for_ten_seconds_every_minute = for_seconds(schedule(100, "spike"), 60);
    assert_eq!(five_times_for_ten_seconds_every_minute.len(), 50 * 100 + 10 * 500);
}

#[test]
fn sine_swings_around_the_rate() {
    let dues = for_seconds(schedule(1000, "sine:amplitude=0.5,period=4s"), 8);
    assert_eq!(dues.len(), 8000);
    let seconds = by_second(&dues, 4);
    // ∫ of 1 + ½ sin over a quarter of the wave: 1 ± 1/π.
    for (events, expected) in seconds.into_iter().zip([1318, 1318, 682, 682]) {
        assert!(events.abs_diff(expected) <= 1, "{events} {expected}");
    }
}

#[test]
fn no_drift_after_a_day() {
    let rate = 999_983;
    let mut pace = Pace::new(schedule(rate, "steady"), START);
    let day = 86_400;
    // Only the end of the day is of interest: what came before is taken as known.
    pace.tick.end = (day - 1) * SECOND;
    pace.tick.events_by_end = pace.schedule.events_by(pace.tick.end);
    pace.taken = (day - 1) * rate;
    let mut dues = Vec::new();
    pace.take(START + day * SECOND, usize::MAX, &mut dues);
    assert_eq!(dues.len() as u64, rate);
    assert_eq!(dues.last().copied(), Some(START + day * SECOND));
}

#[test]
fn a_sender_that_was_away_gets_what_it_missed_with_the_due_times_of_old() {
    let schedule = Schedule { count: Some(30_000), ..schedule(10_000, "steady") };
    assert_eq!(dues(schedule, &[2 * SECOND], 100), dues(schedule, &[], 5_000));
    let mut pace = Pace::new(schedule, START);
    assert_eq!(pace.behind(START + SECOND), 10_000);
    pace.take(START + SECOND, 4_000, &mut Vec::new());
    assert_eq!(pace.behind(START + SECOND), 6_000);
}

#[test]
fn without_a_rate_all_are_due_now() {
    let mut pace = Pace::new(Schedule { count: Some(150), ..schedule(0, "steady") }, START);
    let mut dues = Vec::new();
    pace.take(START + 5, 100, &mut dues);
    assert_eq!(dues, vec![START + 5; 100]);
    assert!(!pace.is_done());
    pace.take(START + 9, 100, &mut dues);
    assert_eq!(dues, vec![START + 9; 50]);
    assert!(pace.is_done());

    let second = Duration::from_secs(1);
    let mut pace = Pace::new(Schedule { duration: Some(second), ..schedule(0, "steady") }, START);
    pace.take(START + SECOND - 1, 1, &mut dues);
    assert!(!pace.is_done());
    pace.take(START + SECOND, 1, &mut dues);
    assert!(pace.is_done() && dues.is_empty());
}

#[test]
fn count_and_duration_end_it_whichever_is_first() {
    let limited = |count, seconds| Schedule {
        count: Some(count),
        duration: Some(Duration::from_secs(seconds)),
        ..schedule(100, "steady")
    };
    assert_eq!(dues(limited(150, 2), &[], 1000).len(), 150);
    assert_eq!(dues(limited(250, 2), &[], 1000).len(), 200);
    assert_eq!(limited(250, 2).total(), Some(200));
    assert_eq!(schedule(100, "steady").total(), None);
    let never = Schedule { duration: Some(Duration::from_micros(9)), ..schedule(1, "steady") };
    assert!(dues(never, &[], 10).is_empty());
}

/// Any text is a profile or refused in one line; events come due in the order of time, never fewer than none.
#[test]
fn fuzz_profile() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let profile: Profile = match text.parse() {
            Ok(profile) => profile,
            Err(said) => return assert!(text.contains('\n') || !said.contains('\n'), "{said:?}"),
        };
        let by = |micros: u64| profile.events_by(1_000.0, micros as f64);
        let due = [0, 999, 1_000, SECOND, 59 * SECOND, 60 * SECOND, 61 * SECOND, 86_400 * SECOND].map(by);
        assert_eq!(due[0], 0.0);
        assert!(due.is_sorted_by(|a, b| a <= b) && due[7].is_finite(), "{text}: {due:?}");
    });
}

#[test]
fn profiles_are_read_and_refused() {
    let parse = |text: &str| text.parse::<Profile>();
    assert_eq!(parse("steady"), Ok(Profile::Steady));
    let spike =
        Profile::Spike { times: 2.5, lasting: Duration::from_millis(500), every: Duration::from_secs(60) };
    assert_eq!(parse("spike:for=500ms,times=2.5"), Ok(spike));
    assert_eq!(parse("ramp:from=10k"), Ok(Profile::Ramp { from: 10_000, over: Duration::from_secs(60) }));
    for (text, reason) in [
        ("", "expected steady, ramp, spike or sine, not ''"),
        ("saw", "expected steady, ramp, spike or sine, not 'saw'"),
        ("steady:a=1", "'steady' has no parameters, so no 'a'"),
        ("spike:over=1s", "'spike' has no parameter 'over': it has times, for, every"),
        ("spike:times", "expected KEY=VALUE behind 'spike:', not 'times'"),
        ("spike:times=5,times=6", "'times' stands twice in the profile"),
        ("spike:times=-1", "times: expected a number from 0 to 1000000, not '-1'"),
        ("spike:for=1m,every=1m", "a spike for 60s does not fit into every 60s: make 'for' shorter"),
        ("sine:amplitude=2", "amplitude: expected a number from 0 to 1, not '2'"),
        ("sine:amplitude=NaN", "amplitude: expected a number from 0 to 1, not 'NaN'"),
        ("ramp:over=0s", "over: at least 1ms, not '0s'"),
        ("ramp:from=many", "from: expected a number such as 250, 500k or 1.5M, not 'many'"),
    ] {
        assert_eq!(parse(text), Err(reason.to_owned()), "{text}");
    }
}

fn profiles() -> impl Strategy<Value = Profile> {
    let millis = |from: u64| (from..20_000).prop_map(Duration::from_millis);
    prop_oneof![
        Just(Profile::Steady),
        (0..5_000_u64, millis(1)).prop_map(|(from, over)| Profile::Ramp { from, over }),
        (0.0..20.0, millis(1), millis(1)).prop_map(|(times, lasting, rest)| Profile::Spike {
            times,
            lasting,
            every: lasting + rest
        }),
        (0.0..1.0, millis(1)).prop_map(|(amplitude, period)| Profile::Sine { amplitude, period }),
    ]
}

/// The rate at an instant, written down once more, the plain way.
fn rate_at(profile: Profile, rate: f64, seconds: f64) -> f64 {
    match profile {
        Profile::Steady => rate,
        Profile::Ramp { from, over } => {
            let part = (seconds / over.as_secs_f64()).min(1.0);
            from as f64 + (rate - from as f64) * part
        }
        Profile::Spike { times, lasting, every } => {
            let calm = (every - lasting).as_secs_f64();
            if seconds % every.as_secs_f64() < calm { rate } else { rate * times }
        }
        Profile::Sine { amplitude, period } => {
            rate * (1.0 + amplitude * (std::f64::consts::TAU * seconds / period.as_secs_f64()).sin())
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_total_is_the_integral_of_the_rate(profile in profiles(), rate in 1..5_000_u64, millis in 1..30_000_u64) {
        let schedule = Schedule {
            rate_per_second: rate,
            profile,
            count: None,
            duration: Some(Duration::from_millis(millis)),
        };
        let step = 1e-4;
        let integral: f64 = (0..millis * 10)
            .map(|i| rate_at(profile, rate as f64, (i as f64 + 0.5) * step) * step)
            .sum();
        let total = schedule.total().expect("a duration gives a total") as f64;
        prop_assert!((total - integral).abs() <= 1.0 + integral * 1e-3, "{total} {integral}");
    }

    #[test]
    fn dues_ascend_and_do_not_depend_on_when_the_sender_looks(
        profile in profiles(),
        rate in 1..5_000_u64,
        count in 1..20_000_u64,
        millis in 1..10_000_u64,
        pauses in prop::collection::vec(1..400_000_u64, 0..20),
        at_most in 1..2_000_usize,
    ) {
        let schedule = Schedule {
            rate_per_second: rate,
            profile,
            count: Some(count),
            duration: Some(Duration::from_millis(millis)),
        };
        let expected = dues(schedule, &[], 100_000);
        prop_assert!(expected.is_sorted());
        prop_assert_eq!(Some(expected.len() as u64), schedule.total());
        prop_assert_eq!(dues(schedule, &pauses, at_most), expected);
    }
}
