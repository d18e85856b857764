// How each probe measures, as a form: which fields there are, what they hold while nobody has said otherwise (the API's
// own defaults; a browser test compares them), and how they are written.

export const PROBES = ['ping', 'traceroute', 'dns', 'tcp', 'http', 'bandwidth'] as const;
export type ProbeName = (typeof PROBES)[number];

/** `megabytes` are bytes in the API. A `number` may be empty where null is allowed. */
type Kind = 'number' | 'text' | 'words' | 'numbers' | 'flag' | 'megabytes' | readonly string[];
export interface OptionField {
  name: string;
  kind: Kind;
  initial: unknown;
}

const field = (name: string, kind: Kind, initial: unknown): OptionField => ({ name, kind, initial });
const family = field('family', ['any', 'v4', 'v6'], 'any');
const port = field('port', 'number', null);

export const OPTIONS: Record<ProbeName, readonly OptionField[]> = {
  ping: [
    field('packets', 'number', 10),
    field('spacing_ms', 'number', 200),
    field('timeout_ms', 'number', 2000),
    field('payload_bytes', 'number', 56),
    field('dscp', 'number', null),
    field('source', 'text', null),
    family,
    field('dont_fragment', 'flag', false),
  ],
  traceroute: [
    field('protocol', ['auto', 'icmp', 'udp', 'tcp'], 'auto'),
    field('max_hops', 'number', 30),
    field('probes_per_hop', 'number', 3),
    field('timeout_ms', 'number', 2000),
    port,
    family,
    field('reverse_names', 'flag', true),
  ],
  dns: [
    field('name', 'text', null),
    field('server', 'text', null),
    field('transport', ['udp', 'tcp', 'tls', 'https', 'system'], 'udp'),
    field('record_types', 'words', ['A']),
    field('expect_rcodes', 'words', []),
    field('expect_answers', 'words', []),
    field('timeout_ms', 'number', 2000),
    field('random_prefix', 'flag', false),
  ],
  tcp: [port, field('timeout_ms', 'number', 5000), family],
  http: [
    field('path', 'text', '/'),
    field('method', ['GET', 'HEAD'], 'GET'),
    port,
    field('timeout_ms', 'number', 10_000),
    field('expect_status', 'numbers', []),
    field('expect_body', 'text', null),
    field('max_redirects', 'number', 0),
    family,
    field('tls', 'flag', true),
    field('verify_tls', 'flag', true),
  ],
  bandwidth: [
    field('engine', ['responder', 'ndt7', 'iperf3'], 'responder'),
    port,
    field('direction', ['both', 'down', 'up'], 'both'),
    field('duration_s', 'number', 8),
    field('streams', 'number', 1),
    field('max_run_bytes', 'megabytes', 1_000_000_000),
    field('max_day_bytes', 'megabytes', 5_000_000_000),
    field('credential', 'text', null),
  ],
};

/** Ping, packet loss and jitter are figures of one probe. */
export const probeOf = (metric: string): ProbeName =>
  metric === 'packet_loss' || metric === 'jitter' ? 'ping' : (PROBES.find((probe) => probe === metric) ?? 'ping');

/** What a field shows: text, or true and false of a flag. */
export type Raw = string | boolean;

export function rawOf({ kind }: OptionField, value: unknown): Raw {
  if (kind === 'flag') return value === true;
  if (value === null || value === undefined) return '';
  if (kind === 'megabytes' && typeof value === 'number') return String(value / 1_000_000);
  return Array.isArray(value) ? value.join(' ') : String(value);
}

/** A number that is none stays as it was typed: the API says what it expects there, at the field. */
const numberOf = (typed: string, factor = 1): number | string => {
  const value = Number(typed.replace(',', '.'));
  return Number.isFinite(value) ? Math.round(value * factor) : typed;
};

/** As the API takes it; what is empty is null, which means the default. */
export function valueOf({ kind }: OptionField, raw: Raw): unknown {
  if (typeof raw === 'boolean') return raw;
  const typed = raw.trim();
  const parts = typed.split(/[\s,;]+/).filter((part) => part !== '');
  if (kind === 'words') return parts;
  if (kind === 'numbers') return parts.map((part) => numberOf(part));
  if (typed === '') return null;
  if (kind === 'number') return numberOf(typed);
  return kind === 'megabytes' ? numberOf(typed, 1_000_000) : typed;
}

export type RawOptions = Record<ProbeName, Record<string, Raw>>;

/** All fields of all probes, from a job's options, or as they are at first. */
export function rawOptions(options: Record<string, Record<string, unknown>> | null): RawOptions {
  const of = (probe: ProbeName) =>
    Object.fromEntries(OPTIONS[probe].map((field) => [field.name, rawOf(field, options?.[probe] ? options[probe][field.name] : field.initial)]));
  return Object.fromEntries(PROBES.map((probe) => [probe, of(probe)])) as RawOptions;
}

export function optionsOf(raw: RawOptions): Record<string, Record<string, unknown>> {
  return Object.fromEntries(PROBES.map((probe) => [probe, Object.fromEntries(OPTIONS[probe].map((field) => [field.name, valueOf(field, raw[probe][field.name] ?? '')]))]));
}

/** The fields of a probe that are not as they are at first. */
export const changedFields = (probe: ProbeName, raw: RawOptions): OptionField[] =>
  OPTIONS[probe].filter((field) => (raw[probe][field.name] ?? '') !== rawOf(field, field.initial));
