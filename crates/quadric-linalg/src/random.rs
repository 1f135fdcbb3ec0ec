//! Counter-based random streams: each draw is a pure function of (seed, purpose, index, position).
//!
//! The generator is Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
//! Nothing about the state needs to be saved: a resumed run names the same purpose and index and draws the same numbers,
//! whichever thread asks.

/// A node in the tree of seeds. Children are named by purpose, streams by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeedTree(u64);

impl SeedTree {
    /// The root for a user's seed.
    pub fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x9e37_79b9_7f4a_7c15))
    }

    /// The node for one purpose, such as `"batches"` or `"sketch"`.
    #[must_use]
    pub fn child(self, purpose: &str) -> Self {
        // FNV-1a over the name, then mixed with the parent: stable for all time.
        let name = purpose.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
        });
        Self(mix(self.0 ^ mix(name)))
    }

    /// The stream number `index` of this node.
    pub fn stream(self, index: u64) -> Stream {
        Stream {
            key: [self.0 as u32, (self.0 >> 32) as u32],
            index,
            block: 0,
            buffer: [0; 4],
            left: 0,
            spare: None,
        }
    }
}

/// The finaliser of SplitMix64: a bijection that spreads every input bit.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A stream of random numbers; cheap to make, never shared.
#[derive(Clone, Debug)]
pub struct Stream {
    key: [u32; 2],
    index: u64,
    block: u64,
    buffer: [u32; 4],
    left: usize,
    spare: Option<f64>,
}

impl Stream {
    fn next_u32(&mut self) -> u32 {
        if self.left == 0 {
            let counter = [
                self.block as u32,
                (self.block >> 32) as u32,
                self.index as u32,
                (self.index >> 32) as u32,
            ];
            self.buffer = philox(counter, self.key);
            self.block += 1;
            self.left = 4;
        }
        self.left -= 1;
        self.buffer[3 - self.left]
    }

    /// 64 uniform bits.
    pub fn bits(&mut self) -> u64 {
        let low = u64::from(self.next_u32());
        low | (u64::from(self.next_u32()) << 32)
    }

    /// Uniform in [0, 1), a multiple of 2⁻⁵³.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * 2f64.powi(-53)
    }

    /// Uniform in 0..n without bias.
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "an empty range has no element");
        let n = n as u64;
        loop {
            let wide = u128::from(self.bits()) * u128::from(n);
            // Lemire's multiply-and-reject.
            if wide as u64 >= n.wrapping_neg() % n {
                return (wide >> 64) as usize;
            }
        }
    }

    /// -1 or +1 with equal probability.
    pub fn sign(&mut self) -> f64 {
        if self.next_u32() & 1 == 0 { -1.0 } else { 1.0 }
    }

    /// Standard normal (Box-Muller; portable logarithm and trigonometry, so the values are the same everywhere).
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * libm::log(1.0 - self.uniform())).sqrt();
        let (sin, cos) = libm::sincos(std::f64::consts::TAU * self.uniform());
        self.spare = Some(radius * sin);
        radius * cos
    }

    /// A uniformly random order of 0..n.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, self.below(i + 1));
        }
        order
    }
}

/// Philox4x32-10: 128 random bits that are a pure function of a counter and a key.
pub fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let a = u64::from(counter[0]) * 0xD251_1F53;
        let b = u64::from(counter[2]) * 0xCD9E_8D57;
        counter = [
            (b >> 32) as u32 ^ counter[1] ^ key[0],
            b as u32,
            (a >> 32) as u32 ^ counter[3] ^ key[1],
            a as u32,
        ];
        key = [
            key[0].wrapping_add(0x9E37_79B9),
            key[1].wrapping_add(0xBB67_AE85),
        ];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of the Random123 distribution for Philox4x32-10.
    #[test]
    fn philox_known_answers() {
        assert_eq!(
            philox([0; 4], [0; 2]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn normals_have_the_right_moments() {
        let mut s = SeedTree::new(1).child("moments").stream(0);
        let n = 200_000;
        let (mut m1, mut m2, mut m4) = (0.0, 0.0, 0.0);
        for _ in 0..n {
            let v = s.normal();
            m1 += v;
            m2 += v * v;
            m4 += v * v * v * v;
        }
        let n = f64::from(n);
        // Five standard errors of the mean, the variance and the fourth moment.
        assert!((m1 / n).abs() < 5.0 / n.sqrt());
        assert!((m2 / n - 1.0).abs() < 5.0 * (2.0 / n).sqrt());
        assert!((m4 / n - 3.0).abs() < 5.0 * (96.0 / n).sqrt());
    }

    #[test]
    fn streams_differ_and_repeat() {
        let tree = SeedTree::new(7);
        let draw = |t: SeedTree, i| t.stream(i).bits();
        assert_eq!(draw(tree.child("a"), 3), draw(tree.child("a"), 3));
        assert_ne!(draw(tree.child("a"), 3), draw(tree.child("b"), 3));
        assert_ne!(draw(tree.child("a"), 3), draw(tree.child("a"), 4));
        let mut order = tree.stream(0).permutation(100);
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }
}
