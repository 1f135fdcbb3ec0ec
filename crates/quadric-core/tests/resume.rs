//! A resumed run equals the uninterrupted one, bit for bit (C05, C06).

mod support;

use quadric_core::{
    Budget, CheckpointPolicy, Counts, Driver, Method, Outcome, Problem, Scalar, Status,
};
use std::path::Path;
use support::{HeavyBall, PseudoHuber, Quadratic, Sgd, scratch};

fn budget(iterations: u64) -> Budget {
    Budget {
        iterations: Some(iterations),
        ..Budget::default()
    }
}

type Bits = (Vec<u64>, Option<u64>, Status, Counts, u64, String);

fn bits<T: Scalar>(o: &Outcome<T>) -> Bits {
    (
        o.x.iter().map(|v| v.to_f64().to_bits()).collect(),
        o.value.map(f64::to_bits),
        o.status,
        o.counts,
        o.iterations,
        format!("{:?} {:?} {:?}", o.certificate, o.gradient_norm, o.reason),
    )
}

fn driver(path: &Path, iterations: u64) -> Driver<'static> {
    Driver {
        budget: budget(iterations),
        checkpoint: Some(CheckpointPolicy::every_iterations(path, 1)),
        resume: Some(path.to_owned()),
        resume_if_present: true,
        ..Driver::default()
    }
}

/// Stops after every step in turn and resumes; compares everything with the run that was never stopped.
fn equal_at_every_step<T: Scalar, M: Method<T>>(
    method: &M,
    x0: &[T],
    problem: &dyn Problem<T>,
    steps: u64,
) {
    let dir = scratch();
    let straight = Driver {
        budget: budget(steps),
        ..Driver::default()
    }
    .run_on(method, x0.to_vec(), problem)
    .unwrap();
    for cut in 0..=steps {
        let path = dir.path().join(format!("cut{cut}.qckpt"));
        let first = driver(&path, cut)
            .run_on(method, x0.to_vec(), problem)
            .unwrap();
        assert_eq!(first.iterations, cut.min(straight.iterations));
        let second = driver(&path, steps)
            .run_on(method, x0.to_vec(), problem)
            .unwrap();
        assert_eq!(bits(&second), bits(&straight), "cut after step {cut}");
        // A finished run resumes to the same outcome.
        let third = driver(&path, steps)
            .run_on(method, x0.to_vec(), problem)
            .unwrap();
        assert_eq!(bits(&third), bits(&straight), "finished, cut {cut}");
    }
    // One step a sitting.
    let path = dir.path().join("chain.qckpt");
    let mut last = None;
    for k in 0..=steps {
        last = Some(
            driver(&path, k)
                .run_on(method, x0.to_vec(), problem)
                .unwrap(),
        );
    }
    assert_eq!(bits(&last.unwrap()), bits(&straight));
}

#[test]
fn t_c05_resume_at_every_step() {
    let ball = HeavyBall {
        lr: 0.6,
        momentum: 0.8,
    };
    equal_at_every_step(&ball, &[3.0; 20], &PseudoHuber::new(20), 60);
    let quadratic = Quadratic::<f32> {
        a: vec![1.0, 0.3, 0.05],
        b: vec![1.0, 2.0, 3.0],
    };
    equal_at_every_step(&ball, &[0.5_f32; 3], &quadratic, 40);
}

#[test]
fn t_c06_resume_of_a_stochastic_method() {
    let sgd = Sgd { lr: 0.5, batch: 3 };
    equal_at_every_step(&sgd, &[2.0; 12], &PseudoHuber::new(12), 25);
}
