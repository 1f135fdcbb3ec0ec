//! A run takes no memory from the allocator: everything is planned when a program is compiled.

use peak_alloc::PeakAlloc;
use quadric_autodiff::{Data, Executable, Padding, Program, Tensor, Tracer, Windows};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Words by number, attention of a kind, pooling, running sums, labels, dropout.
fn loss(t: &Tracer) -> Vec<Tensor<'_>> {
    let (table, words) = (t.input("table", [50, 8]), t.index_input("words", [6, 16]));
    let (key, labels) = (t.index_input("key", [2]), t.index_input("labels", [6, 4]));
    let rows = table.gather(words).dropout(0.2, key);
    let noisy = rows + t.normal(key, [6, 16, 8]) * 0.1;
    let windows = Windows {
        strides: [2, 2],
        padding: Padding::Same,
        ..Windows::default()
    };
    let pooled = noisy.reshape([6, 4, 4, 8]).max_pool([3, 3], windows);
    let sums = pooled.cumulative_sum(1).cumulative_sum(-1).sin();
    let scores = sums.reshape([6, 4, 8]).cross_entropy(labels);
    let early = words.less(t.iota([6, 16])).expand(-1) * rows;
    let far = labels.concat(&[labels.reverse(&[1])], 1).to_float();
    vec![scores.mean_all() + early.square().mean_all() + far.mean_all() * 0.01]
}

/// Bytes that `f` takes at most, beyond what was taken before.
fn taken(f: impl FnOnce()) -> usize {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    f();
    MEMORY.peak_usage().saturating_sub(before)
}

#[test]
fn runs_take_no_memory() {
    // The meter works.
    assert!(taken(|| drop(std::hint::black_box(vec![0_u8; 100]))) >= 100);
    let gradient = Program::trace(loss).and_then(|p| p.grad(&["table"]));
    let gradient = gradient.expect("shapes fit");
    let product = gradient.linearize(&["table"]).expect("an input");
    let table: Vec<f64> = (0..400).map(|i| f64::from(i).sin()).collect();
    let words: Vec<i32> = (0..96).map(|i| i * 7 % 50).collect();
    let labels: Vec<i32> = (0..24).map(|i| i % 8).collect();
    let point = [
        Data::Float(&table[..]),
        Data::Index(&words),
        Data::Index(&[3, 4]),
        Data::Index(&labels),
    ];
    let direction = [Data::Float(&table[..])];
    let mut out = vec![0.0; 400];
    // On a thread of its own: handing work to another takes memory now and then.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    pool.expect("one thread").install(|| {
        let mut compiled = Executable::<f64>::new(&gradient).expect("a real output");
        let mut run = || compiled.run(&point, &mut [&mut out]).expect("inputs fit");
        run();
        assert_eq!(taken(run), 0, "a run");
        let mut compiled = Executable::<f64>::new(&product).expect("a real output");
        let mut prepared = compiled.prepare(&point).expect("inputs fit");
        let mut apply = || {
            let applied = prepared.apply(&direction, &mut [&mut out]);
            applied.expect("directions fit");
        };
        apply();
        assert_eq!(taken(apply), 0, "a direction");
    });
    assert!(out.iter().all(|v| v.is_finite()) && out.iter().any(|v| *v != 0.0));
}
