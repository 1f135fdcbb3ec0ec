//! Steps a method by hand and checks, at every step, what every method promises.

use super::snapshot::Snapshot;
use super::watched::{Record, Watched};
use quadric_core::random::SeedTree;
use quadric_core::{Context, Method, Problem, Reading, need};
use quadric_opt::registry::Visit;

/// What a walk saw.
pub(crate) struct Walked {
    pub(crate) x: Vec<f64>,
    pub(crate) record: Record,
    pub(crate) values: Vec<f64>,
}

/// Walks `steps` steps from `x0`, without a driver. With `resumes` every step is also taken by a second copy of the
/// method's memory, rebuilt from the saved numbers alone, and must give the same bits.
pub(crate) struct Walk<'a> {
    pub(crate) problem: &'a dyn Problem<f64>,
    pub(crate) x0: &'a [f64],
    pub(crate) steps: u64,
    pub(crate) seed: u64,
    pub(crate) resumes: bool,
}

fn context(seed: u64, it: u64) -> Context {
    let mut cx = Context::new(SeedTree::new(seed));
    cx.it = it;
    cx
}

fn same_reading(a: &Reading, b: &Reading) -> bool {
    let bits = |v: Option<f64>| v.map(f64::to_bits);
    bits(a.value) == bits(b.value) && bits(a.optimality) == bits(b.optimality) && a.exit == b.exit
}

fn bits(x: &[f64]) -> Vec<u64> {
    x.iter().map(|v| v.to_bits()).collect()
}

impl Visit<f64> for Walk<'_> {
    type Output = Result<Walked, String>;

    fn visit<M: Method<f64>>(self, method: M) -> Self::Output {
        let watched = Watched::new(self.problem);
        let p: &M::Problem<'_> = need(&watched).map_err(|e| e.to_string())?;
        let text = |e: quadric_core::Error| e.to_string();
        let mut x = self.x0.to_vec();
        let (mut state, reading) = method
            .init(p, &mut x, &mut context(self.seed, 0))
            .map_err(text)?;
        let mut values = vec![reading.value.unwrap()];
        let plain: &M::Problem<'_> = need(self.problem).map_err(text)?;
        for it in 1..=self.steps {
            let saved = self.resumes.then(|| (Snapshot::of(&mut state), x.clone()));
            let reading = method
                .step(p, &mut x, &mut state, &mut context(self.seed, it))
                .map_err(text)?;
            if let Some((snapshot, mut at)) = saved {
                let (mut copy, _) = method
                    .init(plain, &mut at.clone(), &mut context(self.seed, 0))
                    .map_err(text)?;
                snapshot.load(&mut copy);
                let again = method
                    .step(plain, &mut at, &mut copy, &mut context(self.seed, it))
                    .map_err(text)?;
                if bits(&at) != bits(&x) || !same_reading(&again, &reading) {
                    return Err(format!("step {it} differs after a resume"));
                }
                if Snapshot::of(&mut copy) != Snapshot::of(&mut state) {
                    return Err(format!("the memory after step {it} differs after a resume"));
                }
            }
            if !x.iter().all(|v| v.is_finite()) {
                return Err(format!("x is not finite after step {it}: {x:?}"));
            }
            values.extend(reading.value);
            if reading.exit.is_some() {
                break;
            }
        }
        Ok(Walked {
            x,
            record: watched.record(),
            values,
        })
    }
}
