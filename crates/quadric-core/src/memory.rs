//! The driver's own memory during a run: everything that a checkpoint must hold besides the method's memory.

use crate::{
    Certificate, Counts, Error, ErrorKind, Exit, Ints, Reading, Result, Scalar, State, Visitor,
};

/// What the driver knows after a completed step.
pub(crate) struct Memory<T: Scalar> {
    pub(crate) x: Vec<T>,
    pub(crate) best: Vec<T>,
    pub(crate) best_value: Option<f64>,
    pub(crate) iteration: u64,
    pub(crate) recoveries_left: u64,
    /// Largest gradient entry at the start.
    pub(crate) start: Option<f64>,
    /// What the method said about `x`.
    pub(crate) reading: Reading,
    pub(crate) certificate: Option<Certificate>,
    /// The optimality where the newest certificate was measured.
    pub(crate) certified_at: f64,
    /// True if the newest certificate is of `x`.
    pub(crate) certified_here: bool,
    pub(crate) counts: Counts,
    /// Time spent in earlier sittings and this one.
    pub(crate) nanoseconds: u64,
}

impl<T: Scalar> Memory<T> {
    pub(crate) fn new(x0: Vec<T>, recoveries: u32) -> Self {
        Self {
            best: x0.clone(),
            x: x0,
            best_value: None,
            iteration: 0,
            recoveries_left: u64::from(recoveries),
            start: None,
            reading: Reading::default(),
            certificate: None,
            certified_at: f64::INFINITY,
            certified_here: false,
            counts: Counts::default(),
            nanoseconds: 0,
        }
    }

    /// True if everything that is known about `x` is finite.
    pub(crate) fn is_finite(&self) -> bool {
        self.reading.value.is_none_or(f64::is_finite)
            && self.reading.optimality.is_none_or(f64::is_finite)
            && crate::vector::all_finite(&self.x)
    }

    /// True if a run could have saved this: finite points, and counts that can go on.
    pub(crate) fn is_sound(&self) -> bool {
        let c = &self.counts;
        let counts = [
            c.values,
            c.gradients,
            c.hessians,
            c.products,
            c.dense_hessians,
        ];
        counts.iter().chain([&self.iteration]).all(|n| *n < 1 << 53)
            && c.passes.is_finite()
            && self.best_value.is_none_or(f64::is_finite)
            && crate::vector::all_finite(&self.x)
            && crate::vector::all_finite(&self.best)
    }

    /// Keeps `x` if nothing better is known.
    pub(crate) fn keep_best(&mut self) {
        let better = match (self.reading.value, self.best_value) {
            (Some(value), Some(best)) => value <= best,
            _ => true,
        };
        if better {
            self.take_as_best();
        }
    }

    pub(crate) fn take_as_best(&mut self) {
        self.best.copy_from_slice(&self.x);
        self.best_value = self.reading.value;
    }
}

impl<T: Scalar> State for Memory<T> {
    fn visit(&mut self, path: &str, v: &mut dyn Visitor) -> Result<()> {
        let at = |name: &str| format!("{path}/{name}");
        self.x.visit(&at("x"), v)?;
        self.best.visit(&at("best"), v)?;
        self.best_value.visit(&at("best_value"), v)?;
        self.iteration.visit(&at("iteration"), v)?;
        self.recoveries_left.visit(&at("recoveries_left"), v)?;
        self.start.visit(&at("start"), v)?;
        self.reading.visit(&at("reading"), v)?;
        self.certificate.visit(&at("certificate"), v)?;
        self.certified_at.visit(&at("certified_at"), v)?;
        self.certified_here.visit(&at("certified_here"), v)?;
        self.counts.visit(&at("counts"), v)?;
        self.nanoseconds.visit(&at("nanoseconds"), v)
    }
}

impl State for Reading {
    fn visit(&mut self, path: &str, v: &mut dyn Visitor) -> Result<()> {
        self.value.visit(&format!("{path}/value"), v)?;
        self.optimality.visit(&format!("{path}/optimality"), v)?;
        let (mut code, why): (u64, _) = match &self.exit {
            None => (0, ""),
            Some(Exit::Stalled) => (1, ""),
            Some(Exit::Unbounded(why)) => (2, why.as_str()),
            Some(Exit::Finished) => (3, ""),
        };
        let mut text = Ints(why.bytes().map(u64::from).collect());
        code.visit(&format!("{path}/exit"), v)?;
        text.visit(&format!("{path}/why"), v)?;
        let bytes = text.0.into_iter().map(|b| b as u8).collect();
        self.exit = match code {
            0 => None,
            1 => Some(Exit::Stalled),
            2 => Some(Exit::Unbounded(
                String::from_utf8(bytes).map_err(|_| unknown(path, "text"))?,
            )),
            3 => Some(Exit::Finished),
            _ => return Err(unknown(path, "reason")),
        };
        Ok(())
    }
}

impl State for Option<Certificate> {
    fn visit(&mut self, path: &str, v: &mut dyn Visitor) -> Result<()> {
        let mut code = match self {
            None => 0,
            Some(c) => {
                let known = Certificate::KINDS.iter().position(|k| *k == c.kind);
                known.ok_or_else(|| unknown(path, "certificate"))? as u64 + 1
            }
        };
        let (mut value, mut scale) = self.map_or((0.0, 0.0), |c| (c.value, c.scale));
        code.visit(&format!("{path}/kind"), v)?;
        value.visit(&format!("{path}/value"), v)?;
        scale.visit(&format!("{path}/scale"), v)?;
        *self = match code {
            0 => None,
            1 | 2 => Some(Certificate {
                kind: Certificate::KINDS[code as usize - 1],
                value,
                scale,
            }),
            _ => return Err(unknown(path, "certificate")),
        };
        Ok(())
    }
}

fn unknown(path: &str, what: &str) -> Error {
    Error::new(
        ErrorKind::Malformed,
        format!("`{path}` holds an unknown {what}"),
    )
}

impl State for Counts {
    fn visit(&mut self, path: &str, v: &mut dyn Visitor) -> Result<()> {
        let mut all = [
            self.values,
            self.gradients,
            self.hessians,
            self.products,
            self.dense_hessians,
        ];
        v.ints(path, &mut all)?;
        [
            self.values,
            self.gradients,
            self.hessians,
            self.products,
            self.dense_hessians,
        ] = all;
        self.passes.visit(&format!("{path}/passes"), v)
    }
}
