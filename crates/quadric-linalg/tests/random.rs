//! Random numbers never change (D08).

use quadric_linalg::random::{SeedTree, Stream};

#[rustfmt::skip]
const PINNED: [[u64; 16]; 6] = [
    [0x92211c1828599dee, 0xfe944fa0fc497aef, 0x9c2352d02773e99c, 0x064101575280a64c, 0xaec001bdbc0fb885, 0xb0087ca6b7e1d5d7, 0x620bf20da57a1092, 0x122ff57bce9d1dad, 0x1cce479373f227fa, 0xb7336c344cfaabac, 0x13625f1fcb080321, 0x2a6054cf92842a10, 0x990f85be6c43441f, 0x5e6a357667a68e05, 0xce9f9292ff3df494, 0x016cebd9f16b320a],
    [0x3fe2442383050b33, 0x3fefd289f41f892f, 0x3fe3846a5a04ee7d, 0x3f9904055d4a0280, 0x3fe5d80037b781f7, 0x3fe6010f94d6fc3a, 0x3fd882fc83695e84, 0x3fb22ff57bce9d18, 0x3fbcce479373f220, 0x3fe6e66d86899f55, 0x3fb3625f1fcb0800, 0x3fc5302a67c94214, 0x3fe321f0b7cd8868, 0x3fd79a8d5d99e9a2, 0x3fe9d3f2525fe7be, 0x3f76cebd9f16b300],
    [0x3ff4cc50375ff9cd, 0xbfa73730e0cfdf7b, 0x3ff5b237ed7d1d8e, 0x3fcada683a7370b8, 0xbfe2842d932f692b, 0xbff667186e443c17, 0x3fec5dac95d9131d, 0x3fdb26ed64689e2a, 0xbfbacde8d0ab925f, 0xbfde8b804844c8fe, 0x3fc9b5e094ee9570, 0x3fd5e76650efed28, 0xbfed5514ef400194, 0x3fefb55486fbf342, 0x3ffd0280b76ff61a, 0x3fb03eebe9091ec0],
    [0xbff0000000000000, 0xbff0000000000000, 0x3ff0000000000000, 0xbff0000000000000, 0xbff0000000000000, 0xbff0000000000000, 0xbff0000000000000, 0x3ff0000000000000, 0x3ff0000000000000, 0x3ff0000000000000, 0x3ff0000000000000, 0xbff0000000000000, 0xbff0000000000000, 0x3ff0000000000000, 0x3ff0000000000000, 0x3ff0000000000000],
    [570819, 994453, 609915, 24429, 682619, 687631, 382995, 71044, 112522, 715630, 75720, 165532, 597894, 368809, 807124, 5568],
    [4, 15, 1, 2, 6, 10, 5, 11, 12, 3, 7, 13, 0, 8, 14, 9],
];

/// The first draws of every kind, which no version may change.
#[test]
fn t_d08_pinned_draws() {
    let stream = || SeedTree::new(2026).child("pinned").stream(7);
    let draws = |f: &dyn Fn(&mut Stream) -> u64| {
        let mut s = stream();
        (0..16).map(|_| f(&mut s)).collect::<Vec<u64>>()
    };
    let found = [
        draws(&Stream::bits),
        draws(&|s| s.uniform().to_bits()),
        draws(&|s| s.normal().to_bits()),
        draws(&|s| s.sign().to_bits()),
        draws(&|s| s.below(1_000_003) as u64),
        stream().permutation(16).iter().map(|i| *i as u64).collect(),
    ];
    assert_eq!(found, PINNED);
}
