//! Learning rates and early stopping, against numbers that were worked out by hand from PyTorch's formulas.

use elman::ErrorKind;
use elman::train::{EarlyStopping, Plateau, Schedule, ScheduleState, Scheduler, StoppingState};

/// Up to the last place or two of f32, as a base rate is rounded to f32 before it is multiplied.
fn assert_close(got: f32, expected: f64, what: &str) {
    let error = (f64::from(got) - expected).abs();
    assert!(error <= 2e-7 * expected.abs(), "{what}: {got} instead of {expected}");
}

#[test]
fn steps_are_those_of_step_lr() {
    // The table in StepLR's documentation.
    let schedule = Schedule::step(30, 0.1);
    for (step, expected) in [(0, 0.05), (29, 0.05), (30, 0.005), (59, 0.005), (60, 0.0005), (89, 0.0005)] {
        assert_close(schedule.rate(0.05, step), expected, &format!("step {step}"));
    }
    // PyTorch multiplies the rate it has, every third time.
    let (schedule, mut rate) = (Schedule::step(3, 0.97), f64::from(0.3_f32));
    for step in 0..300 {
        if step > 0 && step % 3 == 0 {
            rate *= 0.97;
        }
        assert_close(schedule.rate(0.3, step), rate, &format!("step {step}"));
    }
    assert_eq!(Schedule::step(1, 0.5).rate(1.0, u64::MAX), 0.0);
    assert_eq!(Schedule::Constant.rate(0.3, u64::MAX), 0.3);
    assert_eq!(Schedule::default(), Schedule::Constant);
}

#[test]
fn a_warm_up_is_linear_and_then_half_a_cosine() {
    let schedule = Schedule::cosine(4, 12, 0.2);
    // cos(π/4) = 0.70710678 at 6, cos(π/2) = 0 at 8, cos(7π/8) = -0.92387953 at 11.
    let known = [(0, 0.0), (1, 0.25), (3, 0.75), (4, 1.0), (6, 0.88284271), (8, 0.6), (11, 0.23044819), (12, 0.2)];
    for (step, expected) in known {
        let rate = schedule.rate(1.0, step);
        assert!((f64::from(rate) - expected).abs() < 5e-8, "step {step}: {rate} instead of {expected}");
    }
    assert_eq!(schedule.rate(1.0, u64::MAX), 0.2);
    assert_eq!(Schedule::cosine(0, 10, 0.0).rate(0.5, 0), 0.5, "without a warm-up the first step has the base rate");
}

/// One loss after the other, and the rate that ReduceLROnPlateau leaves.
fn assert_trace(scheduler: &mut Scheduler, trace: &[(f64, f32)]) {
    let mut before = scheduler.rate(0);
    for (step, &(loss, rate)) in trace.iter().enumerate() {
        let changed = scheduler.observe(loss);
        assert_eq!(scheduler.rate(step as u64), rate, "after loss {step}, {loss}");
        assert_eq!(changed, rate != before, "after loss {step}, {loss}");
        before = rate;
    }
}

/// Better is below 0.9 of the best one; the second in a row that is not is one too many.
const TRACE: [(f64, f32); 12] = [
    (1.0, 1.0),
    (0.95, 1.0),
    (0.91, 0.5),
    (0.95, 0.5), // counted from the change on
    (0.89, 0.5), // the best one
    (f64::NAN, 0.5),
    (0.81, 0.25), // not below 0.801
    (0.80, 0.25), // the best one
    (0.75, 0.25),
    (f64::INFINITY, 0.15), // and not 0.125: the smallest
    (0.75, 0.15),
    (0.75, 0.15),
];

fn plateau() -> Scheduler {
    Scheduler::new(Plateau::default().factor(0.5).patience(1).threshold(0.1).min_lr(0.15), 1.0).unwrap()
}

#[test]
fn a_plateau_is_that_of_reduce_lr_on_plateau() {
    assert_trace(&mut plateau(), &TRACE);
    // The defaults: the eleventh loss that is no better by 1e-4.
    let mut scheduler = Scheduler::new(Plateau::default(), 0.5).unwrap();
    let mut trace = vec![(1.0, 0.5); 11];
    trace.extend([(0.99991, 0.05), (0.99989, 0.05)]);
    assert_trace(&mut scheduler, &trace);
    assert_eq!((scheduler.state().best, scheduler.state().bad), (Some(0.99989), 0));
    // Of a loss below zero the bound lies above the best one, as in PyTorch: -0.95 < -1·0.9.
    let mut scheduler = plateau();
    scheduler.observe(-1.0);
    scheduler.observe(-0.95);
    assert_eq!((scheduler.state().best, scheduler.state().bad), (Some(-0.95), 0));
    // A change of no more than 1e-8 is not made.
    let mut tiny = Scheduler::new(Plateau::default().factor(0.5).patience(0), 1.5e-8).unwrap();
    assert_trace(&mut tiny, &[(1.0, 1.5e-8), (1.0, 1.5e-8)]);
    let mut small = Scheduler::new(Plateau::default().factor(0.5).patience(0), 3e-8).unwrap();
    assert_trace(&mut small, &[(1.0, 3e-8), (1.0, 1.5e-8), (1.0, 1.5e-8)]);
}

#[test]
fn a_schedule_of_steps_does_not_read_losses() {
    let mut scheduler = Scheduler::new(Schedule::step(2, 0.5), 1.0).unwrap();
    assert!((0..20).all(|_| !scheduler.observe(1.0)));
    assert_eq!([0, 1, 2, 4].map(|step| scheduler.rate(step)), [1.0, 1.0, 0.5, 0.25]);
    assert_eq!(scheduler.state(), ScheduleState::new(1.0, None, 0));
}

#[test]
fn a_scheduler_goes_on_from_its_state() {
    for cut in 0..TRACE.len() {
        let (mut scheduler, mut resumed) = (plateau(), plateau());
        TRACE[..cut].iter().for_each(|&(loss, _)| _ = scheduler.observe(loss));
        resumed.set_state(scheduler.state()).unwrap();
        assert_eq!(resumed, scheduler);
        assert_trace(&mut resumed, &TRACE[cut..]);
    }
    let mut scheduler = plateau();
    for (state, name) in [
        (ScheduleState::new(-1.0, None, 0), "rate"),
        (ScheduleState::new(f64::INFINITY, None, 0), "rate"),
        (ScheduleState::new(1.0, Some(f64::NAN), 0), "best"),
    ] {
        let error = scheduler.set_state(state).unwrap_err();
        assert!(error.kind() == ErrorKind::Setting && error.to_string().starts_with(name), "{error}");
    }
    assert_eq!(scheduler, plateau());
}

#[test]
fn settings_of_schedules_outside_their_ranges_are_refused() {
    let bad: [(Schedule, f32, &str); 16] = [
        (Schedule::Constant, -1.0, "lr"),
        (Schedule::Constant, f32::NAN, "lr"),
        (Schedule::step(0, 0.1), 1.0, "every"),
        (Schedule::step(1, 0.0), 1.0, "gamma"),
        (Schedule::step(1, f64::NAN), 1.0, "gamma"),
        (Schedule::step(1, f64::INFINITY), 1.0, "gamma"),
        (Schedule::cosine(5, 5, 0.0), 1.0, "steps"),
        (Schedule::cosine(0, 0, 0.0), 1.0, "steps"),
        (Schedule::cosine(0, 5, -0.1), 1.0, "floor"),
        (Schedule::cosine(0, 5, 1.5), 1.0, "floor"),
        (Schedule::cosine(0, 5, f32::NAN), 1.0, "floor"),
        (Plateau::default().factor(1.0).into(), 1.0, "factor"),
        (Plateau::default().factor(f64::NAN).into(), 1.0, "factor"),
        (Plateau::default().threshold(1.0).into(), 1.0, "threshold"),
        (Plateau::default().threshold(-0.1).into(), 1.0, "threshold"),
        (Plateau::default().min_lr(-0.1).into(), 1.0, "min_lr"),
    ];
    for (schedule, base, name) in bad {
        let error = Scheduler::new(schedule, base).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Setting);
        assert!(error.to_string().starts_with(&format!("{name}: expected ")), "{schedule:?}: {error}");
    }
    let error = Scheduler::new(Schedule::cosine(0, 5, 1.5), 1.0).unwrap_err();
    assert_eq!(error.to_string(), "floor: expected a number in [0, 1], up to the base rate, got 1.5");
}

#[test]
fn training_stops_after_so_many_epochs_that_are_not_better() {
    let mut stopping = EarlyStopping::new(3, 0.1).unwrap();
    assert!(!stopping.observe(f64::NAN) && !stopping.observe(f64::INFINITY));
    assert_eq!(stopping.state(), StoppingState::new(None, 2));
    assert!(stopping.observe(1.0) && !stopping.observe(0.95), "0.1 less at least");
    assert!(!stopping.observe(f64::NAN) && !stopping.should_stop());
    // Resumed here, both go on alike.
    let mut resumed = EarlyStopping::new(3, 0.1).unwrap();
    resumed.set_state(stopping.state()).unwrap();
    assert!(resumed.observe(0.85) && !resumed.should_stop(), "a better one begins anew");
    assert_eq!(resumed.state(), StoppingState::new(Some(0.85), 0));
    assert!(!stopping.observe(0.91) && stopping.should_stop());
    assert_eq!(stopping.state(), StoppingState::new(Some(1.0), 3));
    assert_eq!((stopping.patience(), stopping.min_delta()), (3, 0.1));
    // No less is no better.
    let mut strict = EarlyStopping::new(1, 0.0).unwrap();
    assert!(strict.observe(1.0) && !strict.observe(1.0) && strict.should_stop());
}

#[test]
fn settings_of_early_stopping_outside_their_ranges_are_refused() {
    let error = EarlyStopping::new(0, 0.0).unwrap_err();
    assert_eq!(error.to_string(), "patience: expected at least 1, got 0");
    for min_delta in [-1.0, f64::NAN, f64::INFINITY] {
        let error = EarlyStopping::new(1, min_delta).unwrap_err();
        assert!(error.to_string().starts_with("min_delta: expected a finite number of at least 0"), "{error}");
    }
    let mut stopping = EarlyStopping::new(1, 0.0).unwrap();
    assert!(stopping.set_state(StoppingState::new(Some(f64::NAN), 0)).is_err());
    assert_eq!(stopping.state(), StoppingState::default());
}

#[cfg(feature = "serde")]
#[test]
fn schedules_and_states_go_through_serde() {
    let schedules =
        [Schedule::Constant, Schedule::step(2, 0.5), Schedule::cosine(1, 5, 0.1), Plateau::default().into()];
    for schedule in schedules {
        let json = serde_json::to_string(&schedule).unwrap();
        assert_eq!(serde_json::from_str::<Schedule>(&json).unwrap(), schedule, "{json}");
    }
    let read = |json: &str| serde_json::from_str::<Schedule>(json).map_err(|error| error.to_string());
    assert_eq!(read(r#"{"plateau": {"patience": 3}}"#), Ok(Plateau::default().patience(3).into()));
    assert_eq!(read(r#""constant""#), Ok(Schedule::Constant));
    for (json, expected) in [
        (r#"{"plateau": {"patienc": 3}}"#, "unknown field `patienc`"),
        (r#"{"step": {"every": 3, "gamma": 0.5, "gama": 1}}"#, "unknown field `gama`"),
        (r#"{"Plateau": {}}"#, "unknown variant `Plateau`"),
    ] {
        let error = read(json).unwrap_err();
        assert!(error.starts_with(expected), "{json}: {error}");
    }
    // Before the first loss too, when there is no best one.
    for state in [ScheduleState::new(0.1, None, 0), ScheduleState::new(0.1, Some(0.3), 2)] {
        let json = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<ScheduleState>(&json).unwrap(), state, "{json}");
    }
    let state = StoppingState::new(None, 1);
    let json = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<StoppingState>(&json).unwrap(), state, "{json}");
}

#[test]
fn schedules_are_told_as_the_command_line_reads_them() {
    let plateau = Plateau::default().patience(3).factor(0.25);
    for (schedule, text) in [
        (Schedule::Constant, "constant"),
        (Schedule::step(30, 0.1), "step:30:0.1"),
        (Schedule::cosine(10, 110, 0.0), "cosine:10:110"),
        (Schedule::cosine(0, 110, 0.001), "cosine:0:110:0.001"),
        (plateau.into(), "plateau:3:0.25"),
        (plateau.min_lr(0.5).into(), "plateau:3:0.25:0.0001:0.5"),
        (plateau.threshold(0.0).into(), "plateau:3:0.25:0:0"),
    ] {
        assert_eq!(schedule.to_string(), text);
    }
}

/// Half a cosine of no steps goes to the end of the training that it is in, and is refused where nobody knows that end.
#[test]
fn a_cosine_goes_to_the_end_of_its_training() {
    use elman::train::{Fit, FitConfig, Supervised, Targets};
    let run = |schedule: Schedule| {
        let model =
            elman::Gru::builder(1, 4).readout(elman::Readout::Last).linear("fc", 2).model(&mut elman::Rng::new(1));
        let rows: Vec<Vec<f32>> = (0..20).map(|n| vec![n as f32 * 0.1, 1.0, -1.0]).collect();
        let learner = Supervised::new(model.unwrap(), rows, Targets::Class((0..20).map(|n| n % 2).collect())).unwrap();
        // Of 5 minibatches two and two and one: 3 steps an epoch, 12 in all.
        let config = FitConfig::default().epochs(4).batch(4).accumulate(2).lr(0.5).schedule(schedule);
        Fit::new(learner, config, (0..20).collect(), Vec::new()).map(|mut fit| {
            fit.run(&mut |_| true).unwrap();
            fit.report().epochs.iter().map(|epoch| epoch.lr).collect::<Vec<_>>()
        })
    };
    let rates = run(Schedule::cosine(2, 0, 0.0)).unwrap();
    assert_eq!(rates, run(Schedule::cosine(2, 12, 0.0)).unwrap());
    assert!(rates[3] == 0.0 && rates[2] > 0.0, "{rates:?}");
    let told = run(Schedule::cosine(12, 0, 0.0)).unwrap_err().to_string();
    assert!(told.contains("steps") && told.contains("12"), "{told}");
    assert!(Scheduler::new(Schedule::cosine(2, 0, 0.0), 0.5).is_err());
}
