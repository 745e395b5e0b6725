/** Numbers as text for people. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function human(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number.isInteger(value) ? value : value.toFixed(value < 10 ? 2 : 1)} ${UNITS[unit]}`;
}

/** Decimal megabytes per second, the unit of disk vendors. */
export const rate = (bytes: number, seconds: number): string => `${Math.round(bytes / 1e6 / Math.max(seconds, 0.001))} MB/s`;

export function clock(seconds: number): string {
  if (!Number.isFinite(seconds)) return '--:--';
  const whole = Math.round(seconds);
  const two = (value: number): string => String(value).padStart(2, '0');
  const minutes = `${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  return whole < 3600 ? minutes : `${Math.floor(whole / 3600)}:${minutes}`;
}
