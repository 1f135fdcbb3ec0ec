//! A solver of one's own: heavy-ball momentum (Polyak 1964), run on a real data set by the driver.

use quadric::core::{Context, Reading, vector};
use quadric::prelude::*;

/// The configuration: `x ← x + v`, `v ← momentum v - rate ∇F(x)`.
struct HeavyBall {
    rate: f64,
    momentum: f64,
}

quadric::core::state! {
    /// The memory between two steps; checkpoints save every field of it.
    struct Velocity[T: Scalar] { v: Vec<T>, g: Vec<T> }
}

impl<T: Scalar> Method<T> for HeavyBall {
    type Problem<'p> = dyn Smooth<T> + 'p;
    type State = Velocity<T>;

    fn init<'p>(
        &self,
        p: &'p Self::Problem<'p>,
        x: &mut [T],
        _: &mut Context,
    ) -> Result<(Velocity<T>, Reading)> {
        let mut s = Velocity {
            v: vec![T::of(0.0); x.len()],
            g: vec![T::of(0.0); x.len()],
        };
        let value = p.value_grad(x, &mut s.g)?;
        let reading = Reading::at(value, vector::max_abs(&s.g));
        Ok((s, reading))
    }

    fn step<'p>(
        &self,
        p: &'p Self::Problem<'p>,
        x: &mut [T],
        s: &mut Velocity<T>,
        _: &mut Context,
    ) -> Result<Reading> {
        vector::scale(self.momentum, &mut s.v);
        vector::axpy(-self.rate, &s.g, &mut s.v);
        vector::axpy(1.0, &s.v, x);
        let value = p.value_grad(x, &mut s.g)?;
        Ok(Reading::at(value, vector::max_abs(&s.g)))
    }
}

fn main() -> Result<()> {
    let data = quadric::data::embedded("german.numer_scale")?;
    let options = GlmOptions {
        loss: Loss::Logistic,
        l2: 1e-2,
        ..GlmOptions::default()
    };
    let problem = Glm::<f64>::new(data.x, &data.target, None, &options)?;
    let method = HeavyBall {
        rate: 1.0,
        momentum: 0.9,
    };
    let outcome = Driver::default().run(&method, problem.start(), &problem)?;
    // The driver measured the gap itself before it said so.
    assert_eq!(outcome.status, Status::Converged);
    Ok(())
}

#[test]
fn it_converges() -> Result<()> {
    main()
}
