//! What the suite `autodiff` is asked to reach, beside what it reaches and what it would reach at the rate of a large matrix
//! product.

use super::markdown;
use serde_json::{Value, json};

/// What a number is measured against.
#[derive(Clone, Copy, PartialEq)]
enum Against {
    /// The time of a peer, in units of ours.
    Peer(&'static str),
    /// The time of our Hessian product: at most so much of it.
    Hessian,
    /// The time of as many single Hessian products: at most so much of it.
    Singles(f64),
    /// The memory of our gradient: at most so much of it.
    Memory,
    /// The rate of our large matrix product: at least so much of it.
    Rate,
    /// Seconds, at most.
    Seconds,
}

struct Aim {
    network: &'static str,
    quantity: &'static str,
    against: Against,
    asked: f64,
    /// What holds it where it falls short.
    held_by: &'static str,
}

const fn aim(
    network: &'static str,
    quantity: &'static str,
    against: Against,
    asked: f64,
    held_by: &'static str,
) -> Aim {
    Aim {
        network,
        quantity,
        against,
        asked,
        held_by,
    }
}

const GRADIENT: &str = "gradient";
const HESSIAN: &str = "Hessian product";
const BLOCK: &str = "Hessian product of 16";
const COMPACT: &str = "Hessian product, compact";
const GAUSS_NEWTON: &str = "Gauss-Newton product";
const PREPARE: &str = "trace, transform, compile";
const PYTORCH: Against = Against::Peer("PyTorch");
const JAX: Against = Against::Peer("JAX");

/// What holds those that fall short.
const AT_THE_RATE: &str =
    "it runs near the rate of our matrix products, and those of the peer are as fast or faster.";
const BLOCKS: &str = "each direction, 2.6 MB, comes from memory, and its product goes there; those of a single one stay in the cache, and packing \
    matrices takes a twelfth of its time, not a seventh.";
const JOINS: &str =
    "reached on one thread; on two, each product ends with a wait for its last task.";
const OPERATIONS: &str = "the operations alone make it what the last column says.";
const CONVOLUTIONS: &str = "two thirds of the time are convolutions, at seven tenths of the matrix rate and more. The rest are element-wise \
    loops, which wait for memory: each statistic of a batch normalisation, and each derivative of one, has to read all images again \
    before anything else can go on.";
const GATES: &str = "products run near the matrix rate but take little more than half of the time; a third are element-wise loops over \
    the gates, whose tiles pass through the cache once per operation, where PyTorch's fused layer keeps them in registers.";
const STEPS: &str = "half of the time are matrix products: those of a step run at nine tenths of the matrix rate, those over all steps, whose \
    factors come from memory, at two thirds. Most of the rest are element-wise loops over the gates, two dozen in each step of 16 \
    sequences.";
const HEADS: &str = "reached on two threads; on one, a quarter of the time are element-wise loops of softmax and layer norms.";
const STATES: &str = "a product keeps the gates and states of the point and of the direction for all steps of the scan; \
    `Executable::compact` computes them again, some sequences at a time.";
const SCORES: &str = "what depends on the point is kept for the next direction, the scores and weights of all heads among it, where the gradient drops \
    them part by part; `Executable::compact` does, too.";

const AIMS: &[Aim] = &[
    aim("mlp", GRADIENT, PYTORCH, 0.9, AT_THE_RATE),
    aim("mlp", HESSIAN, PYTORCH, 0.9, AT_THE_RATE),
    aim("mlp", HESSIAN, Against::Peer("PyHessian"), 2.0, AT_THE_RATE),
    aim("mlp", BLOCK, Against::Singles(16.0), 1.0, BLOCKS),
    aim("mlp", BLOCK, Against::Peer("PyHessian"), 2.0, BLOCKS),
    aim("mlp", GRADIENT, Against::Rate, 0.85, JOINS),
    aim("mlp", HESSIAN, Against::Rate, 0.85, JOINS),
    aim("resnet", GRADIENT, PYTORCH, 1.0, CONVOLUTIONS),
    aim("resnet", HESSIAN, PYTORCH, 1.6, CONVOLUTIONS),
    aim("resnet", HESSIAN, JAX, 2.5, CONVOLUTIONS),
    aim("resnet", GRADIENT, Against::Rate, 0.5, CONVOLUTIONS),
    aim("resnet", HESSIAN, Against::Rate, 0.5, CONVOLUTIONS),
    aim("resnet", PREPARE, Against::Seconds, 0.5, ""),
    aim(
        "lstm",
        GRADIENT,
        Against::Peer("PyTorch fused layer"),
        1.0 / 1.3,
        GATES,
    ),
    aim("lstm", HESSIAN, PYTORCH, 3.0, STEPS),
    aim("lstm", HESSIAN, JAX, 3.0, STEPS),
    aim("transformer", HESSIAN, PYTORCH, 1.3, HEADS),
    aim("transformer", HESSIAN, JAX, 1.3, HEADS),
    aim("mlp", GAUSS_NEWTON, Against::Hessian, 0.75, OPERATIONS),
    aim("resnet", GAUSS_NEWTON, Against::Hessian, 0.75, ""),
    aim("lstm", GAUSS_NEWTON, Against::Hessian, 0.75, ""),
    aim("transformer", GAUSS_NEWTON, Against::Hessian, 0.75, ""),
    aim("mlp", HESSIAN, Against::Memory, 2.5, ""),
    aim("resnet", HESSIAN, Against::Memory, 2.5, ""),
    aim("lstm", HESSIAN, Against::Memory, 2.5, STATES),
    aim("transformer", HESSIAN, Against::Memory, 2.5, SCORES),
    aim("resnet", COMPACT, Against::Memory, 2.5, CONVOLUTIONS),
    aim("lstm", COMPACT, Against::Memory, 2.5, STATES),
    aim("transformer", COMPACT, Against::Memory, 2.5, SCORES),
];

impl Against {
    fn name(self) -> String {
        match self {
            Self::Peer(name) => format!("{name}'s time by ours"),
            Self::Hessian => "ours by a Hessian product".into(),
            Self::Singles(count) => format!("ours by {count} single products"),
            Self::Memory => "memory by the gradient's".into(),
            Self::Rate => "rate by a matrix product's".into(),
            Self::Seconds => "seconds".into(),
        }
    }

    /// True if less is better.
    fn is_bound(self) -> bool {
        !matches!(self, Self::Peer(_) | Self::Rate)
    }
}

impl Aim {
    fn is_of(&self, row: &Value) -> bool {
        let same = row["work"] == self.network && row["quantity"] == self.quantity;
        match self.against {
            Against::Peer(name) => same && row["peer"] == name,
            _ => same,
        }
    }

    /// What the row reaches.
    fn reached(&self, row: &Value) -> Option<f64> {
        let part = |a: &str, b: &str| Some(row[a].as_f64()? / row[b].as_f64()?);
        match self.against {
            Against::Peer(_) => row["ratio"].as_f64(),
            Against::Hessian => part("ours_seconds", "hessian_seconds"),
            Against::Singles(count) => Some(part("ours_seconds", "hessian_seconds")? / count),
            Against::Memory => part("memory", "gradient_memory"),
            Against::Rate => row["limit_ratio"].as_f64(),
            Against::Seconds => row["ours_seconds"].as_f64(),
        }
    }

    /// What it would reach if all operations ran at the rate of a large matrix product.
    fn at_rate(&self, row: &Value) -> Option<f64> {
        match self.against {
            Against::Peer(_) => Some(row["ratio"].as_f64()? / row["limit_ratio"].as_f64()?),
            Against::Hessian => Some(row["gflop"].as_f64()? / row["hessian_gflop"].as_f64()?),
            _ => None,
        }
    }

    fn is_met(&self, reached: f64) -> bool {
        if self.against.is_bound() {
            reached <= self.asked
        } else {
            reached >= self.asked
        }
    }
}

/// What is asked of a row: a list of `{against, asked, reached, at_matrix_rate, met, held_by}`.
pub(super) fn asked_of(row: &Value) -> Value {
    let of_row = AIMS.iter().filter(|a| a.is_of(row));
    let all = of_row.filter_map(|a| {
        let reached = a.reached(row)?;
        let met = a.is_met(reached);
        Some(json!({
            "against": a.against.name(), "asked": a.asked, "reached": reached, "at_matrix_rate": a.at_rate(row),
            "met": met, "held_by": (!met).then_some(a.held_by),
        }))
    });
    all.collect()
}

/// A line per aim, and what holds those that are not met.
pub(super) fn table(rows: &[Value]) -> String {
    let header = [
        "network",
        "quantity",
        "measured",
        "asked",
        "1 thread",
        "2 threads",
        "at the matrix rate",
    ];
    let mut notes: Vec<String> = Vec::new();
    let lines = AIMS.iter().filter_map(|aim| {
        let of = |threads: u64| {
            let same = |r: &&Value| aim.is_of(r) && r["threads"] == threads;
            rows.iter().find(same)
        };
        let found = [of(1)?, of(2)?];
        let cell = |row: &Value| {
            let reached = aim.reached(row).unwrap_or(f64::NAN);
            let text = format!("{reached:.2}");
            if aim.is_met(reached) {
                text
            } else {
                format!("**{text}**")
            }
        };
        let missed = |r: &&Value| !aim.reached(r).is_some_and(|v| aim.is_met(v));
        if found.iter().any(missed) {
            let note = format!("- {}, {}: {}\n", aim.network, aim.quantity, aim.held_by);
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        let rates = found.map(|r| aim.at_rate(r).map(|v| format!("{v:.2}")));
        let rates = match rates {
            [Some(one), Some(two)] if one == two => one,
            [Some(one), Some(two)] => format!("{one}, {two}"),
            _ => String::new(),
        };
        let bound = if aim.against.is_bound() { "≤" } else { "≥" };
        Some(vec![
            aim.network.to_owned(),
            aim.quantity.to_owned(),
            aim.against.name(),
            format!("{bound} {:.2}", aim.asked),
            cell(found[0]),
            cell(found[1]),
            rates,
        ])
    });
    let lines: Vec<_> = lines.collect();
    if lines.is_empty() {
        return String::new();
    }
    let table = markdown(&header, lines);
    format!(
        "\nAsked and reached; bold where it falls short:\n\n{table}\n{}",
        notes.concat()
    )
}
