export function plotComparison() {
  return '';
}
