//! The declared state is all the memory: a state restored into a fresh one continues with the same bits.

use crate::problems::{Logistic, Rosenbrock, wdbc};
use quadric_core::random::SeedTree;
use quadric_core::{Capability, Context, Method, Problem, Result, SliceMut, State, Visitor};
use quadric_models::Loss;
use quadric_opt::newton::{GscNewton, LinearSolver, Preconditioner, Schedule, TrustRegionNewton};

#[derive(Default)]
struct Tape {
    floats: Vec<f64>,
    ints: Vec<u64>,
    /// `None` while recording, else where reading goes on.
    reading: Option<(usize, usize)>,
}

impl Visitor for Tape {
    fn len(&mut self, path: &str, n: &mut usize) -> Result<()> {
        let mut wide = [*n as u64];
        self.ints(path, &mut wide)?;
        *n = wide[0] as usize;
        Ok(())
    }
    fn floats(&mut self, _: &str, v: SliceMut<'_>) -> Result<()> {
        let SliceMut::F64(v) = v else {
            panic!("only f64 here")
        };
        match &mut self.reading {
            None => self.floats.extend_from_slice(v),
            Some((at, _)) => {
                v.copy_from_slice(&self.floats[*at..*at + v.len()]);
                *at += v.len();
            }
        }
        Ok(())
    }
    fn ints(&mut self, _: &str, v: &mut [u64]) -> Result<()> {
        match &mut self.reading {
            None => self.ints.extend_from_slice(v),
            Some((_, at)) => {
                v.copy_from_slice(&self.ints[*at..*at + v.len()]);
                *at += v.len();
            }
        }
        Ok(())
    }
}

fn check<M: Method<f64>>(method: &M, problem: &dyn Problem<f64>, x0: &[f64], steps: u64) {
    let p = <M::Problem<'_> as Capability<'_, f64>>::find(problem).expect("offered");
    let run = |stop: u64, snapshot: Option<(&[f64], &mut Tape, u64)>| {
        let mut cx = Context::new(SeedTree::new(7));
        let mut x = x0.to_vec();
        let (mut s, _) = method.init(p, &mut x, &mut cx).expect("valid");
        if let Some((at, tape, it)) = snapshot {
            x.copy_from_slice(at);
            tape.reading = Some((0, 0));
            s.visit("state", tape).expect("the same shape");
            cx.it = it;
        }
        while cx.it < stop {
            cx.it += 1;
            method.step(p, &mut x, &mut s, &mut cx).expect("a step");
        }
        let mut tape = Tape::default();
        s.visit("state", &mut tape).expect("recording");
        (x, tape)
    };
    let (straight, _) = run(steps, None);
    for stop in 1..steps {
        let (x, mut tape) = run(stop, None);
        let (resumed, _) = run(steps, Some((&x, &mut tape, stop)));
        assert_eq!(straight, resumed, "resumed after step {stop}");
    }
}

#[test]
fn resumed_runs_have_the_same_bits() {
    let problem = Logistic::new(wdbc(), 30, 1e-6);
    let zero = [0.0; 30];
    check(&GscNewton::default(), &problem, &zero, 8);
    for preconditioner in [Preconditioner::Auto, Preconditioner::Nystrom] {
        let method = GscNewton {
            linear_solver: LinearSolver::Cg,
            preconditioner,
            ..GscNewton::default()
        };
        check(&method, &problem, &zero, 8);
    }
    // A problem with a preconditioner of its own, which outlives the points it is made at.
    let iris = quadric_data::embedded("iris").expect("embedded");
    let glm = crate::glm::problem(&iris, Loss::Softmax, 1e-6, true);
    let newton = GscNewton {
        linear_solver: LinearSolver::Cg,
        ..GscNewton::default()
    };
    // Far enough for a second inverse.
    check(&newton, &glm, &glm.start(), 60);
    let newton = GscNewton {
        schedule: Schedule::Direct,
        ..newton
    };
    check(&newton, &glm, &glm.start(), 10);
    let newton = TrustRegionNewton {
        linear_solver: LinearSolver::Cg,
        ..TrustRegionNewton::default()
    };
    check(&newton, &glm, &glm.start(), 10);
    check(&TrustRegionNewton::default(), &problem, &zero, 8);
    let method = TrustRegionNewton {
        linear_solver: LinearSolver::Cg,
        ..TrustRegionNewton::default()
    };
    check(&method, &Rosenbrock(10), &[-1.2; 10], 12);
}
