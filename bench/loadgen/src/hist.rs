//! Log-linear histogram of nanoseconds: 128 steps per power of two, so a quantile is within 0.8 %.

const SUB: u32 = 7;

pub struct Hist {
    counts: Vec<u64>,
    pub n: u64,
    sum: u128,
    pub max: u64,
}

impl Default for Hist {
    fn default() -> Self {
        Hist { counts: vec![0; (64 - SUB as usize + 1) << SUB], n: 0, sum: 0, max: 0 }
    }
}

fn index(v: u64) -> usize {
    if v < (1 << SUB) {
        return v as usize;
    }
    let e = 63 - v.leading_zeros() - SUB;
    (((e + 1) as usize) << SUB) + ((v >> e) as usize & ((1 << SUB) - 1))
}

fn value(i: usize) -> f64 {
    let e = i >> SUB;
    let m = (i & ((1 << SUB) - 1)) as f64;
    if e == 0 { m } else { (m + 0.5 + (1u64 << SUB) as f64) * (1u64 << (e - 1)) as f64 }
}

impl Hist {
    #[inline]
    pub fn add(&mut self, ns: u64) {
        self.counts[index(ns)] += 1;
        self.n += 1;
        self.sum += ns as u128;
        self.max = self.max.max(ns);
    }
    pub fn clear(&mut self) {
        *self = Hist::default();
    }
    /// Quantile in microseconds.
    pub fn q_us(&self, q: f64) -> f64 {
        let want = ((self.n as f64 * q).ceil() as u64).max(1);
        let mut seen = 0;
        for (i, c) in self.counts.iter().enumerate() {
            seen += c;
            if seen >= want {
                return value(i) / 1e3;
            }
        }
        0.0
    }
    pub fn mean_us(&self) -> f64 {
        if self.n == 0 { 0.0 } else { self.sum as f64 / self.n as f64 / 1e3 }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn quantiles_are_within_a_percent() {
        let mut h = super::Hist::default();
        for i in 1..=100_000u64 {
            h.add(i * 10);
        }
        for q in [0.01, 0.5, 0.99, 0.999] {
            let exact = 100_000.0 * q * 10.0 / 1e3;
            assert!((h.q_us(q) / exact - 1.0).abs() < 0.01, "{q}: {} {exact}", h.q_us(q));
        }
    }
}
