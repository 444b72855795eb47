//! Small symmetric matrices.

use alloc::vec;
use alloc::vec::Vec;

/// Eigenvalues and eigenvectors of a symmetric matrix given by rows; column `j` of the vectors belongs to value `j`.
///
/// # Cost
/// Cubic; meant for a few dozen dimensions.
///
/// # Source
/// Golub and Van Loan (2013), *Matrix Computations*, section 8.5: cyclic Jacobi.
pub(super) fn symmetric_eigen(matrix: &[Vec<f64>]) -> (Vec<f64>, Vec<Vec<f64>>) {
    let n = matrix.len();
    let mut a = matrix.to_vec();
    let mut v: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| if i == j { 1.0 } else { 0.0 }).collect()).collect();
    for _ in 0..60 {
        let off: f64 = (0..n).map(|i| (0..i).map(|j| a[i][j] * a[i][j]).sum::<f64>()).sum();
        let diagonal: f64 = (0..n).map(|i| a[i][i] * a[i][i]).sum();
        if off <= 1e-30 * diagonal {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[p][q] == 0.0 {
                    continue;
                }
                let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let sign = if theta < 0.0 { -1.0 } else { 1.0 };
                let t = sign / (theta.abs() + libm::sqrt(theta * theta + 1.0));
                let c = 1.0 / libm::sqrt(t * t + 1.0);
                let s = t * c;
                for row in &mut a {
                    let (x, y) = (row[p], row[q]);
                    row[p] = c * x - s * y;
                    row[q] = s * x + c * y;
                }
                let (above, below) = a.split_at_mut(q);
                for (left, right) in above[p].iter_mut().zip(&mut below[0]) {
                    (*left, *right) = (c * *left - s * *right, s * *left + c * *right);
                }
                for row in &mut v {
                    let (x, y) = (row[p], row[q]);
                    row[p] = c * x - s * y;
                    row[q] = s * x + c * y;
                }
            }
        }
    }
    let values = (0..n).map(|i| a[i][i]).collect();
    (values, v)
}

/// A matrix times a vector.
pub(super) fn times(matrix: &[Vec<f64>], vector: &[f64]) -> Vec<f64> {
    matrix.iter().map(|row| row.iter().zip(vector).map(|(a, b)| a * b).sum()).collect()
}

/// The transpose of a matrix times a vector.
pub(super) fn transposed_times(matrix: &[Vec<f64>], vector: &[f64]) -> Vec<f64> {
    let mut result = vec![0.0; matrix.first().map_or(0, Vec::len)];
    for (row, factor) in matrix.iter().zip(vector) {
        for (slot, value) in result.iter_mut().zip(row) {
            *slot += value * factor;
        }
    }
    result
}

/// The lower triangle `L` of a symmetric positive definite matrix `L·Lᵀ`.
///
/// # Source
/// Golub and Van Loan (2013), section 4.2.
pub(crate) struct Cholesky(Vec<Vec<f64>>);

impl Cholesky {
    /// Of the rows of a lower triangle; none if the matrix is not positive definite.
    pub(crate) fn new(mut rows: Vec<Vec<f64>>) -> Option<Self> {
        for i in 0..rows.len() {
            let (done, rest) = rows.split_at_mut(i);
            let row = rest.first_mut()?;
            for (j, other) in done.iter().enumerate() {
                let sum: f64 = row[..j].iter().zip(&other[..j]).map(|(a, b)| a * b).sum();
                row[j] = (row[j] - sum) / other[j];
            }
            let square = row[i] - row[..i].iter().map(|a| a * a).sum::<f64>();
            if square <= 0.0 || !square.is_finite() {
                return None;
            }
            row[i] = libm::sqrt(square);
        }
        Some(Self(rows))
    }

    /// `x` of `L·x = right`.
    pub(super) fn forward(&self, right: &[f64]) -> Vec<f64> {
        let mut x: Vec<f64> = Vec::with_capacity(right.len());
        for (row, value) in self.0.iter().zip(right) {
            let sum: f64 = row.iter().zip(&x).map(|(a, b)| a * b).sum();
            x.push((value - sum) / row[x.len()]);
        }
        x
    }

    /// `x` of `L·Lᵀ·x = right`.
    pub(crate) fn solve(&self, right: &[f64]) -> Vec<f64> {
        let mut x = self.forward(right);
        for i in (0..x.len()).rev() {
            x[i] /= self.0[i][i];
            let value = x[i];
            for (slot, a) in x[..i].iter_mut().zip(&self.0[i]) {
                *slot -= a * value;
            }
        }
        x
    }

    /// Sum of the logarithms of the diagonal: half that of the determinant.
    pub(super) fn log_diagonal(&self) -> f64 {
        self.0.iter().enumerate().map(|(i, row)| libm::log(row[i])).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symmetric_matrix_is_taken_apart() {
        // Eigenvalues 1, 3 and 7 by hand: a rotated pair and a lone value.
        let matrix = vec![vec![2.0, 1.0, 0.0], vec![1.0, 2.0, 0.0], vec![0.0, 0.0, 7.0]];
        let (values, vectors) = symmetric_eigen(&matrix);
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        for (found, expected) in sorted.iter().zip([1.0, 3.0, 7.0]) {
            assert!((found - expected).abs() < 1e-12, "{values:?}");
        }
        for (j, value) in values.iter().enumerate() {
            let column: Vec<f64> = vectors.iter().map(|row| row[j]).collect();
            for (left, right) in times(&matrix, &column).iter().zip(&column) {
                assert!((left - value * right).abs() < 1e-12);
            }
        }
        // By hand: L = [[2, 0], [1, 3]].
        let factor = Cholesky::new(vec![vec![4.0], vec![2.0, 10.0]]).unwrap();
        assert_eq!(factor.forward(&[2.0, 7.0]), [1.0, 2.0]);
        assert_eq!(factor.solve(&[8.0, 22.0]), [1.0, 2.0]);
        assert!(Cholesky::new(vec![vec![1.0], vec![2.0, 1.0]]).is_none());
        assert_eq!(transposed_times(&[vec![1.0, 2.0], vec![3.0, 4.0]], &[1.0, 10.0]), [31.0, 42.0]);
    }
}
