#include "cgroup.h"

// Weights of cgroup v2 from those of v1, in which OCI configurations are written.

namespace stack {

namespace {

// libm's log2 and pow bring 20 KB of tables into each monitor, for one number in its life.

/** Of at least 1. By log2((1+z)/(1-z)) = 2/ln 2 (z + z³/3 + …), |z| ≤ 1/3. */
double log2_of(double value) {
  double whole = 0;
  for (; value >= 2; value /= 2) whole++;
  double z = (value - 1) / (value + 1), power = z, sum = 0;
  for (int i = 1; i < 60; i += 2, power *= z * z) sum += power / i;
  return whole + sum * 2 / 0.693147180559945309417;
}

/** 10^x for 0 ≤ x ≤ 5, by the series of e^(x ln 10 / 64), taken to its 64th power. */
double power_of_ten(double x) {
  double y = x * 2.302585092994045684018 / 64, term = 1, sum = 1;
  for (int i = 1; i < 20; ++i) sum += term *= y / i;
  for (int i = 0; i < 6; ++i) sum *= sum;
  return sum;
}

}  // namespace

uint64_t cpu_weight_of_shares(uint64_t shares) {
  if (shares == 0) return 0;  // not set
  if (shares <= 2) return 1;
  if (shares >= 262144) return 10000;
  double l = log2_of(static_cast<double>(shares));
  double exponent = (l * l + 125 * l) / 612.0 - 7.0 / 34.0;
  // Rounded up, as crun and runc do; what these series are off by must not make 100 a 101.
  double weight = power_of_ten(exponent) - 1e-9;
  auto whole = static_cast<uint64_t>(weight);
  return whole + (static_cast<double>(whole) < weight ? 1 : 0);
}

uint64_t io_weight_of_blkio(uint64_t weight) {
  return weight == 0 ? 0 : 1 + (weight - 10) * 9999 / 990;
}

}  // namespace stack
