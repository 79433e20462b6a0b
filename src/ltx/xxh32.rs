//! xxHash32 with seed 0, which is the checksum in LZ4 frames.

const PRIMES: [u32; 5] = [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d, 0x27d4_eb2f, 0x1656_67b1];

/// Returns the hash of `bytes`.
pub(super) fn xxh32(bytes: &[u8]) -> u32 {
    let (stripes, rest) = bytes.as_chunks::<16>();
    let (words, tail) = rest.as_chunks::<4>();
    let mut hash = if stripes.is_empty() { PRIMES[4] } else { mix_stripes(stripes) };
    hash = hash.wrapping_add(bytes.len() as u32);
    for word in words {
        let add = u32::from_le_bytes(*word).wrapping_mul(PRIMES[2]);
        hash = hash.wrapping_add(add).rotate_left(17).wrapping_mul(PRIMES[3]);
    }
    for byte in tail {
        let add = u32::from(*byte).wrapping_mul(PRIMES[4]);
        hash = hash.wrapping_add(add).rotate_left(11).wrapping_mul(PRIMES[0]);
    }
    hash = (hash ^ hash >> 15).wrapping_mul(PRIMES[1]);
    hash = (hash ^ hash >> 13).wrapping_mul(PRIMES[2]);
    hash ^ hash >> 16
}

/// Mixes the stripes in four lanes, each of which takes every fourth word.
fn mix_stripes(stripes: &[[u8; 16]]) -> u32 {
    let [mut a, mut b, mut c, mut d] = [PRIMES[0].wrapping_add(PRIMES[1]), PRIMES[1], 0, PRIMES[0].wrapping_neg()];
    for [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3] in stripes {
        a = mix(a, [*a0, *a1, *a2, *a3]);
        b = mix(b, [*b0, *b1, *b2, *b3]);
        c = mix(c, [*c0, *c1, *c2, *c3]);
        d = mix(d, [*d0, *d1, *d2, *d3]);
    }
    let lanes = [a.rotate_left(1), b.rotate_left(7), c.rotate_left(12), d.rotate_left(18)];
    lanes.into_iter().fold(0, u32::wrapping_add)
}

fn mix(lane: u32, word: [u8; 4]) -> u32 {
    let add = u32::from_le_bytes(word).wrapping_mul(PRIMES[1]);
    lane.wrapping_add(add).rotate_left(13).wrapping_mul(PRIMES[0])
}

#[cfg(test)]
mod tests {
    use super::xxh32;

    /// The values are from the reference implementation. They cover each path: tail, words, stripes.
    #[test]
    fn known_hashes_are_reproduced() {
        assert_eq!(xxh32(b""), 0x02cc_5d05);
        assert_eq!(xxh32(b"a"), 0x550d_7456);
        assert_eq!(xxh32(b"abc"), 0x32d1_53ff);
        assert_eq!(xxh32(b"Nobody inspects the spammish repetition"), 0xe229_3b2f);
    }
}
