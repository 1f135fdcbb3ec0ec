//! A million steps (S12), in a process of their own, so that nothing else allocates.
#![allow(clippy::unwrap_used)]

mod support;

use quadric_core::{Budget, Control, Driver, Status, Tolerance};
use support::{HeavyBall, Quadratic};

const STEPS: u64 = 1_000_000;

fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

#[test]
fn t_s12_a_million_steps_take_no_memory() {
    let (mut warm, mut last) = (None, None);
    let mut driver = Driver {
        tolerance: Tolerance {
            relative: 0.0,
            absolute: 0.0,
        },
        budget: Budget {
            iterations: Some(STEPS),
            ..Budget::default()
        },
        ..Driver::default()
    };
    driver.callbacks.push(Box::new(|p| {
        match p.iteration {
            10_000 => warm = resident_bytes(),
            STEPS => last = resident_bytes(),
            _ => {}
        }
        Ok(Control::Continue)
    }));
    let slow = HeavyBall {
        lr: 1e-7,
        momentum: 0.0,
    };
    let bowl = Quadratic {
        a: vec![1.0, 0.5, 0.2],
        b: vec![1.0, -2.0, 0.3],
    };
    let o = driver.run(&slow, vec![9.0; 3], &bowl).unwrap();
    drop(driver);
    assert_eq!((o.status, o.iterations), (Status::MaxIterations, STEPS));
    assert_eq!(o.counts.gradients, STEPS + 1);
    assert_eq!(o.counts.passes, (STEPS + 1) as f64);
    if let (Some(warm), Some(last)) = (warm, last) {
        assert!(last < warm + (1 << 20), "{warm} bytes grew to {last}");
    }
}
