//! The driver: limits, statuses, the referee, hostile problems.
#![allow(clippy::unwrap_used)]

mod support;

use quadric_core::{
    Budget, CheckpointPolicy, Clock, Context, Control, Driver, ErrorKind, Exit, Gap, Method,
    Objective, Problem, Reading, Result, Smooth, Status, Tolerance, capabilities,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use support::{Chaos, HeavyBall, Liar, PseudoHuber, Quadratic, Trick, scratch};

const BALL: HeavyBall = HeavyBall {
    lr: 0.5,
    momentum: 0.5,
};

fn limited(iterations: u64) -> Driver<'static> {
    Driver {
        budget: Budget {
            iterations: Some(iterations),
            ..Budget::default()
        },
        ..Driver::default()
    }
}

fn bowl() -> Quadratic<f64> {
    Quadratic {
        a: vec![1.0, 0.5, 0.2],
        b: vec![1.0, -2.0, 0.3],
    }
}

#[test]
fn converges_with_a_certificate() {
    let o = limited(1000).run(&BALL, vec![0.0; 3], &bowl()).unwrap();
    assert_eq!(o.status, Status::Converged);
    let certificate = o.certificate.unwrap();
    assert!(certificate.value <= 1e-10 * certificate.scale);
    for (x, exact) in o.x.iter().zip([1.0, -4.0, 1.5]) {
        assert!((x - exact).abs() < 1e-8, "{x} is not {exact}");
    }
    assert_eq!(o.counts.gradients, o.iterations + 1);
    assert_eq!(o.gradient_norm_at_start, Some(2.0));
}

/// The certificate is found at the first step that meets the tolerance, not half a decade later.
#[test]
fn certificates_are_not_late() {
    let mut first = None;
    let mut driver = limited(1000);
    driver.callbacks.push(Box::new(|p| {
        if p.optimality.unwrap() <= 2e-10 && first.is_none() {
            first = Some(p.iteration);
        }
        Ok(Control::Continue)
    }));
    let o = driver.run(&BALL, vec![0.0; 3], &bowl()).unwrap();
    drop(driver);
    assert_eq!(Some(o.iterations), first);
}

#[test]
fn t_s02_limits_are_exact() {
    for m in 0..=25 {
        let mut driver = Driver {
            budget: Budget {
                evaluations: Some(m),
                ..Budget::default()
            },
            ..Driver::default()
        };
        let counted = Chaos::new(PseudoHuber::new(9), Trick::Fail, 0);
        let o = driver.run(&BALL, vec![5.0; 9], &counted).unwrap();
        assert_eq!(o.counts.evaluations(), m, "limit {m}");
        assert_eq!(o.status, Status::MaxEvaluations, "limit {m}");
        assert_eq!(o.iterations, m.saturating_sub(1));
        assert!(o.value.unwrap().is_finite());
        // Everything beyond the limit is the referee's: few, whatever the limit.
        assert!(counted.seen.load(Ordering::Relaxed) <= m + 10);
    }
    let o = limited(0)
        .run(&BALL, vec![5.0; 9], &PseudoHuber::new(9))
        .unwrap();
    assert_eq!((o.status, o.iterations), (Status::MaxIterations, 0));
    assert_eq!(o.x, [5.0; 9]);
    assert_eq!(o.value, Some(PseudoHuber::new(9).value(&[5.0; 9]).unwrap()));
}

/// A clock that an evaluation moves by 10 ms.
#[derive(Default)]
struct Ticks(AtomicU64);

impl Clock for Ticks {
    fn now(&self) -> Duration {
        Duration::from_millis(10 * self.0.load(Ordering::Relaxed))
    }
}

struct Slow(Quadratic<f64>, Arc<Ticks>);

impl Problem<f64> for Slow {
    fn dim(&self) -> usize {
        self.0.dim()
    }
    capabilities!(f64: Smooth);
}
impl Objective<f64> for Slow {
    fn value(&self, x: &[f64]) -> Result<f64> {
        self.1.0.fetch_add(1, Ordering::Relaxed);
        self.0.value(x)
    }
}
impl Smooth<f64> for Slow {
    fn value_grad(&self, x: &[f64], g: &mut [f64]) -> Result<f64> {
        self.1.0.fetch_add(1, Ordering::Relaxed);
        self.0.value_grad(x, g)
    }
}

#[test]
fn t_s03_time_limit() {
    let ticks = Arc::new(Ticks::default());
    let mut driver = Driver {
        clock: ticks.clone(),
        budget: Budget {
            time: Some(Duration::from_millis(50)),
            ..Budget::default()
        },
        ..Driver::default()
    };
    let o = driver
        .run(&BALL, vec![9.0; 3], &Slow(bowl(), ticks))
        .unwrap();
    assert_eq!(o.status, Status::MaxTime);
    assert!(o.elapsed <= Duration::from_millis(110), "{:?}", o.elapsed);
    assert!(o.counts.evaluations() <= 5);
}

/// Without a gap, the gradient that the method tells serves until the run could end on it: one evaluation for the verdict
/// and one for the value of the returned point.
#[test]
fn certificates_of_gradients_cost_nothing_before_the_end() {
    let ticks = Arc::new(Ticks::default());
    let problem = Slow(bowl(), ticks.clone());
    let o = limited(1000).run(&BALL, vec![0.0; 3], &problem).unwrap();
    assert_eq!(o.status, Status::Converged);
    assert!(o.counts.gradients > 20);
    assert_eq!(ticks.0.load(Ordering::Relaxed), o.counts.gradients + 2);
}

#[test]
fn t_s01_hostile_evaluations() {
    let tricks = [
        Trick::Value(f64::NAN),
        Trick::Value(f64::INFINITY),
        Trick::Value(f64::NEG_INFINITY),
        Trick::Value(1e308),
        Trick::Fail,
        Trick::FlipGradient,
        Trick::HugeGradient,
    ];
    for trick in tricks {
        for forever in [false, true] {
            for k in 1..=40 {
                let mut problem = Chaos::new(PseudoHuber::new(5), trick, k);
                problem.forever = forever;
                let run = limited(60).run(&BALL, vec![4.0; 5], &problem);
                let o = match run {
                    Ok(o) => o,
                    Err(e) => {
                        assert!(trick == Trick::Fail && k == 1, "{trick:?} at {k}: {e}");
                        continue;
                    }
                };
                let case = format!("{trick:?} at {k}, forever {forever}: {:?}", o.status);
                assert!(o.x.iter().all(|v| v.is_finite()), "{case}");
                if o.status == Status::Converged {
                    let mut g = vec![0.0; 5];
                    PseudoHuber::new(5).value_grad(&o.x, &mut g).unwrap();
                    let start = o.gradient_norm_at_start.unwrap();
                    assert!(g.iter().all(|g| g.abs() <= 1.01e-10 * start), "{case}");
                }
                // A finite lie of any size is not to be told from the truth; a NaN is never an answer.
                if o.status.is_converged() {
                    assert!(o.value.unwrap().is_finite(), "{case}");
                }
            }
        }
    }
}

#[test]
fn a_panic_passes_through_and_leaves_the_driver_usable() {
    let mut driver = limited(500);
    let problem = Chaos::new(bowl(), Trick::Panic, 3);
    let run = AssertUnwindSafe(|| driver.run(&BALL, vec![1.0; 3], &problem));
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let panic = catch_unwind(run).unwrap_err();
    std::panic::set_hook(quiet);
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"the user's own panic"));
    let o = driver.run(&BALL, vec![1.0; 3], &problem).unwrap();
    assert_eq!(o.status, Status::Converged);
}

#[test]
fn p1_a_method_that_lies_is_found_out() {
    for exit in [Exit::Stalled, Exit::Finished] {
        let o = limited(9)
            .run(&Liar(exit.clone()), vec![3.0; 3], &bowl())
            .unwrap();
        assert!(!o.status.is_converged(), "{exit:?} gave {:?}", o.status);
        // The value and the gradient are the referee's, not the liar's.
        assert_eq!(o.value, Some(bowl().value(&[3.0; 3]).unwrap()));
        assert_eq!(o.gradient_norm, Some(3.5));
    }
}

/// A problem whose gap is nonsense.
struct Boast(Quadratic<f64>, Gap);

impl Problem<f64> for Boast {
    fn dim(&self) -> usize {
        self.0.dim()
    }
    fn gap(&self, _: &[f64]) -> Result<Option<Gap>> {
        Ok(Some(self.1))
    }
    capabilities!(f64: Smooth);
}
impl Objective<f64> for Boast {
    fn value(&self, x: &[f64]) -> Result<f64> {
        self.0.value(x)
    }
}
impl Smooth<f64> for Boast {
    fn value_grad(&self, x: &[f64], g: &mut [f64]) -> Result<f64> {
        self.0.value_grad(x, g)
    }
}

#[test]
fn non_finite_certificates_never_converge() {
    for bound in [0.0, f64::NAN, f64::INFINITY] {
        for scale in [1.0, f64::NAN, f64::INFINITY] {
            let gap = Gap { bound, scale };
            let o = limited(5)
                .run(&BALL, vec![0.0; 3], &Boast(bowl(), gap))
                .unwrap();
            let expected = bound == 0.0 && scale == 1.0;
            assert_eq!(o.status.is_converged(), expected, "{gap:?}");
        }
    }
}

#[test]
fn a_failing_referee_costs_the_claim_not_the_point() {
    // The method makes gradients 1 to 8; the referee's, which follow, fail.
    for (k, limit) in [(2, 0), (5, 3), (9, 7)] {
        let mut problem = Chaos::new(PseudoHuber::new(5), Trick::Fail, k);
        problem.forever = true;
        let o = limited(limit).run(&BALL, vec![0.3; 5], &problem).unwrap();
        assert!(!o.status.is_converged());
        assert!(o.x.iter().all(|v| v.is_finite()));
        assert!(o.value.is_some(), "the best value that is known is kept");
    }
}

#[test]
fn rollback_recovers_and_gives_up_in_the_end() {
    let once = Chaos::new(bowl(), Trick::Value(f64::NAN), 4);
    let mut notes = 0;
    let mut driver = limited(1000);
    driver.callbacks.push(Box::new(|p| {
        notes += p.notes.iter().filter(|n| n.0 == "rolled_back").count();
        Ok(Control::Continue)
    }));
    let o = driver.run(&BALL, vec![1.0; 3], &once).unwrap();
    drop(driver);
    assert_eq!(o.status, Status::Converged);
    assert_eq!(notes, 1);

    let mut always = Chaos::new(bowl(), Trick::Value(f64::NAN), 3);
    always.forever = true;
    let mut driver = limited(1000);
    let o = driver.run(&BALL, vec![1.0; 3], &always).unwrap();
    assert_eq!(o.status, Status::NonFinite);
    // Gradients: the start, one good step; five failures are rolled back, the sixth is the end.
    assert_eq!(o.iterations, 7);
    assert_eq!(o.counts.gradients, 8);
    assert!(o.x.iter().all(|v| v.is_finite()));
    let o = Chaos::new(bowl(), Trick::Value(f64::NAN), 1);
    let o = limited(9).run(&BALL, vec![1.0; 3], &o).unwrap();
    assert_eq!((o.status, o.iterations), (Status::NonFinite, 0));
}

#[test]
fn runs_go_on_one_of_the_threads_of_the_pool() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build();
    let pool = pool.unwrap();
    let run = || {
        let threads = std::sync::Mutex::new(Vec::new());
        let mut driver = limited(3);
        driver.callbacks.push(Box::new(|_| {
            let place = (rayon::current_thread_index(), rayon::current_num_threads());
            threads.lock().unwrap().push(place);
            Ok(Control::Continue)
        }));
        let o = driver.run(&BALL, vec![1.0; 3], &bowl()).unwrap();
        assert_eq!(o.status, Status::MaxIterations);
        drop(driver);
        threads.into_inner().unwrap()
    };
    assert_eq!(rayon::current_thread_index(), None);
    let outside = run();
    assert!(!outside.is_empty() && outside.iter().all(|(index, _)| index.is_some()));
    // The pool that the caller chose is kept.
    let (own, inside) = pool.install(|| (rayon::current_thread_index(), run()));
    assert!(inside.iter().all(|&place| place == (own, 2)), "{inside:?}");
}

#[test]
fn t_s11_callbacks() {
    let mut seen = Vec::new();
    let mut driver = limited(50);
    let log = std::sync::Mutex::new(&mut seen);
    driver.callbacks.push(Box::new(|p| {
        log.lock().unwrap().push((1, p.iteration));
        Ok(if p.iteration == 3 {
            Control::Stop
        } else {
            Control::Continue
        })
    }));
    driver.callbacks.push(Box::new(|p| {
        log.lock().unwrap().push((2, p.iteration));
        Ok(Control::Continue)
    }));
    let o = driver.run(&BALL, vec![1.0; 3], &bowl()).unwrap();
    drop(driver);
    assert_eq!((o.status, o.iterations), (Status::Callback, 3));
    let expected: Vec<_> = (0..=3).flat_map(|i| [(1, i), (2, i)]).collect();
    assert_eq!(seen, expected);

    let mut driver = limited(50);
    driver.callbacks.push(Box::new(|p| match p.iteration {
        2 => Err(quadric_core::Error::new(ErrorKind::Data, "the user's own")),
        _ => Ok(Control::Continue),
    }));
    let o = driver.run(&BALL, vec![1.0; 3], &bowl()).unwrap();
    assert_eq!(o.status, Status::Failed);
    let e = o.error.unwrap();
    assert_eq!((e.kind(), e.message()), (ErrorKind::Data, "the user's own"));
}

/// Raises the interrupt within the k-th gradient.
struct Signal {
    inner: Chaos<PseudoHuber>,
    at: u64,
    flag: Arc<AtomicBool>,
}

impl Problem<f64> for Signal {
    fn dim(&self) -> usize {
        self.inner.dim()
    }
    fn name(&self) -> &str {
        "pseudo-huber"
    }
    capabilities!(f64: Smooth);
}
impl Objective<f64> for Signal {
    fn value(&self, x: &[f64]) -> Result<f64> {
        self.inner.value(x)
    }
}
impl Smooth<f64> for Signal {
    fn value_grad(&self, x: &[f64], g: &mut [f64]) -> Result<f64> {
        if self.inner.seen.load(Ordering::Relaxed) + 1 == self.at {
            self.flag.store(true, Ordering::Relaxed);
        }
        self.inner.value_grad(x, g)
    }
}

/// Two gradients a step, so that an interrupt can fall between them; swallows the refusal and carries on.
struct Stubborn;

impl Method<f64> for Stubborn {
    type Problem<'p> = dyn Smooth<f64> + 'p;
    type State = Vec<f64>;

    fn init<'p>(
        &self,
        p: &'p Self::Problem<'p>,
        x: &mut [f64],
        _: &mut Context,
    ) -> Result<(Vec<f64>, Reading)> {
        let mut g = vec![0.0; x.len()];
        let value = p.value_grad(x, &mut g)?;
        Ok((
            g,
            Reading {
                value: Some(value),
                ..Reading::default()
            },
        ))
    }
    fn step<'p>(
        &self,
        p: &'p Self::Problem<'p>,
        x: &mut [f64],
        g: &mut Vec<f64>,
        _: &mut Context,
    ) -> Result<Reading> {
        let mut value = 1e9;
        for _ in 0..2 {
            quadric_core::vector::axpy(-0.3, g, x);
            value = p.value_grad(x, g).unwrap_or(f64::MIN);
        }
        Ok(Reading {
            value: Some(value),
            ..Reading::default()
        })
    }
}

#[test]
fn t_s10_interrupt_inside_a_step() {
    let straight = limited(20)
        .run(&Stubborn, vec![2.0; 6], &PseudoHuber::new(6))
        .unwrap();
    let dir = scratch();
    for at in 1..=30 {
        let path = dir.path().join(format!("{at}.qckpt"));
        let mut driver = limited(20);
        driver.checkpoint = Some(CheckpointPolicy::every_iterations(&path, 1000));
        let problem = Signal {
            inner: Chaos::new(PseudoHuber::new(6), Trick::Fail, 0),
            at,
            flag: driver.interrupt.clone(),
        };
        let o = driver.run(&Stubborn, vec![2.0; 6], &problem).unwrap();
        assert_eq!(o.status, Status::Interrupted, "signal in gradient {at}");
        // An interrupt in the last gradient of a step lets the step complete.
        assert_eq!(o.iterations, (at - 1) / 2);
        let mut driver = limited(20);
        driver.resume = Some(path);
        let o = driver
            .run(&Stubborn, vec![2.0; 6], &PseudoHuber::new(6))
            .unwrap_or_else(|e| panic!("resume after a signal in gradient {at}: {e:?}"));
        assert_eq!(o.x, straight.x, "signal in gradient {at}");
        assert_eq!(o.counts, straight.counts);
    }
}

#[test]
fn bad_arguments_are_refused_before_any_work() {
    let run = |x0: Vec<f64>| limited(5).run(&BALL, x0, &bowl()).unwrap_err();
    assert_eq!(run(vec![0.0; 2]).kind(), ErrorKind::Shape);
    assert_eq!(run(vec![0.0, f64::NAN, 0.0]).kind(), ErrorKind::NonFinite);
    for (relative, absolute, good) in [
        (0.0, 0.0, true),
        (1e-10, 0.0, true),
        (1e-15, 0.0, false),
        (-1e-3, 0.0, false),
        (f64::NAN, 0.0, false),
        (f64::INFINITY, 0.0, false),
        (1e-3, -1.0, false),
        (1e-3, f64::NAN, false),
    ] {
        let tolerance = Tolerance { relative, absolute };
        assert_eq!(tolerance.validate().is_ok(), good, "{tolerance:?}");
    }
    let mut driver = limited(5);
    driver.budget.memory = Some(10);
    let e = driver.run(&BALL, vec![0.0; 3], &bowl()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Resource);
    let e = limited(5).run_on(&support::Sgd { lr: 1.0, batch: 1 }, vec![0.0; 3], &bowl());
    assert_eq!(e.unwrap_err().kind(), ErrorKind::Capability);
}

/// `Σ exp(-x_j)`, without a minimiser.
struct Falling;

impl Problem<f64> for Falling {
    fn dim(&self) -> usize {
        3
    }
    capabilities!(f64: Smooth);
}
impl Objective<f64> for Falling {
    fn value(&self, x: &[f64]) -> Result<f64> {
        Ok(x.iter().map(|x| (-x).exp()).sum())
    }
    fn recession(&self, d: &[f64]) -> Result<Option<String>> {
        let rises = d.iter().any(|d| *d < 0.0);
        Ok((!rises && d != [0.0; 3]).then(|| "it falls for ever".to_owned()))
    }
}
impl Smooth<f64> for Falling {
    fn value_grad(&self, x: &[f64], g: &mut [f64]) -> Result<f64> {
        for (g, x) in g.iter_mut().zip(x) {
            *g = -(-x).exp();
        }
        self.value(x)
    }
}

#[test]
fn a_stall_on_the_way_to_an_infimum_is_unbounded() {
    for (x, expected) in [(3.0, Status::Unbounded), (-3.0, Status::Stalled)] {
        let o = limited(9)
            .run(&Liar(Exit::Stalled), vec![x; 3], &Falling)
            .unwrap();
        assert_eq!(o.status, expected);
        assert_eq!(o.reason.is_some(), expected == Status::Unbounded);
    }
}
