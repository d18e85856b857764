// The shapes of the API. Times are RFC 3339 in UTC; null is "undefined", never 0.

export type Status = 'up' | 'degraded' | 'down' | 'unknown' | 'paused' | 'suppressed';

export interface Latest {
  status: Status;
  since: string | null;
  last_sample_at: string | null;
  /** The probe that the figures are of. */
  probe: string | null;
  response_time_ms: number | null;
  packet_loss_percent: number | null;
  jitter_ms: number | null;
  position: number | null;
  error: string | null;
  /** Response times of its last 60 samples, oldest first; null where nothing came back. */
  recent: (number | null)[];
}

export interface Destination {
  id: number;
  name: string;
  host: string;
  port: number | null;
  display_name: string | null;
  description: string | null;
  tags: string[];
  status: 'active' | 'paused';
  managed_by: 'user' | 'config';
  created_at: string;
  updated_at: string;
  position: number;
  latest?: Latest;
}

/** What a client may say of a destination. */
export interface DestinationInput {
  name: string;
  host: string;
  port: number | null;
  display_name: string | null;
  description: string | null;
  tags: string[];
  status: 'active' | 'paused';
}

export type Day = 'mon' | 'tue' | 'wed' | 'thu' | 'fri' | 'sat' | 'sun';

export interface Hours {
  time_zone: string;
  spans: { day: Day; from: string; to: string }[];
}

export type JobStateName = 'running' | 'stopped' | 'scheduled' | 'completed' | 'error';

export interface Job {
  id: number;
  name: string;
  description: string | null;
  tags: string[];
  enabled: boolean;
  interval_s: number;
  metrics: string[];
  destinations: string[];
  destination_ids: number[];
  destination_tags: string[];
  start_time: string | null;
  end_time: string | null;
  active_hours: Hours | null;
  packets: number;
  spacing_ms: number;
  timeout_ms: number;
  options: Record<string, Record<string, unknown>>;
  state?: { name: JobStateName; since: string | null; why: string | null; next_run: string | null };
  managed_by: 'user' | 'config';
  created_at: string;
  updated_at: string;
  position: number;
}

export interface JobInput {
  name: string;
  description: string | null;
  tags: string[];
  enabled: boolean;
  interval: string;
  metrics: string[];
  destinations: string[];
  destination_tags: string[];
  start_time: string | null;
  end_time: string | null;
  active_hours: Hours | null;
  options: Record<string, Record<string, unknown>>;
}

export interface List<T> {
  items: T[];
  position: number;
}

export type RowStatus = 'success' | 'partial' | 'timeout' | 'unreachable' | 'refused' | 'error' | 'unknown';

/** A flat metrics row: one of a slot, a destination and a metric. */
export interface Row {
  timestamp: string;
  position: number;
  job_id: number;
  job: string;
  destination_id: number;
  destination: string;
  metric: string;
  status: RowStatus;
  response_time_ms: number | null;
  min_ms: number | null;
  mean_ms: number | null;
  max_ms: number | null;
  stddev_ms: number | null;
  p95_ms: number | null;
  jitter_ms: number | null;
  packet_loss_percent: number | null;
  packets_sent: number | null;
  packets_received: number | null;
  resolved_address?: string | null;
  error?: string | null;
  [column: string]: unknown;
}

export interface Health {
  status: 'ok' | 'degraded' | 'failing';
  version: string;
  started_at: string;
  position: number;
  log: { first: number; last: number; head: string };
  projectors: { name: string; position: number; lag: number; failure: string | null }[];
  collector: Record<string, number | boolean | string | null>;
  privileges: { icmp: string | null; fix: string | null };
  problems: { message: string; fix: string | null }[];
}

export interface Update {
  type: 'update';
  position: number;
  recorded_at: string;
  kind: string;
  job_id: number | null;
  destination_id: number | null;
  row?: Row;
  data?: Record<string, unknown>;
}

export type ServerMessage =
  | { type: 'hello'; position: number; version: string }
  | { type: 'subscribed'; id: string; position: number }
  | Update
  | { type: 'heartbeat'; position: number }
  | { type: 'lagged'; missed: number; from: number; to: number }
  | { type: 'reset'; position?: number }
  | { type: 'error'; code: string; message: string };

/** The figures of a span of time. Null where undefined; `not_given` says why a percentile is. */
export interface Figures {
  slots: number;
  slots_unknown: number;
  packets_sent: number;
  packets_received: number;
  packet_loss_percent: number | null;
  n: number;
  min_ms: number | null;
  mean_ms: number | null;
  median_ms: number | null;
  max_ms: number | null;
  stddev_ms: number | null;
  jitter_ms: number | null;
  p5_ms: number | null;
  p25_ms: number | null;
  p75_ms: number | null;
  p95_ms: number | null;
  p99_ms: number | null;
  not_given: Record<string, string>;
}

/** How fine an answer is, and how exact its percentiles are. */
export interface Precision {
  start_time: string;
  end_time: string;
  /** `raw`, or seconds as `60s`. */
  resolution: string;
  exact: boolean;
  relative_error: number;
}

type Column = (number | null)[];

export interface Series extends Precision {
  destination_id: number;
  destination: string;
  metric: string;
  not_given: Record<string, string>;
  columns: {
    time: string[];
    median_ms: Column;
    p5_ms: Column;
    p25_ms: Column;
    p75_ms: Column;
    p95_ms: Column;
    min_ms: Column;
    max_ms: Column;
    jitter_ms: Column;
    packet_loss_percent: Column;
    packets_sent: number[];
    packets_received: number[];
    n: number[];
    slots: number[];
    slots_unknown: number[];
  };
  position: number;
}

export interface Interval {
  low: number;
  high: number;
  confidence: number;
}

export interface Availability {
  availability_percent: number | null;
  method: string;
  up_s: number;
  degraded_s: number;
  down_s: number;
  unknown_s: number;
  outages: number;
  longest_outage_s: number | null;
}

export interface Analytics extends Precision {
  destination_id: number;
  destination: string;
  metric: string;
  figures: Figures | null;
  derived: { packet_loss_interval_percent: Interval | null; r_factor: number | null; mos: number | null; voice_method: string } | null;
  packets: {
    mean_interval_ms: Interval | null;
    pdv_p50_ms: number | null;
    pdv_p95_ms: number | null;
    pdv_p99_ms: number | null;
    rfc3550_jitter_ms: number | null;
    longest_loss_run: number;
    apdex: number | null;
    apdex_t_ms: number;
    histogram: { edges_ms: number[]; counts: number[] } | null;
  } | null;
  packets_not_given?: string | null;
  course: {
    of: string;
    points: number;
    trend_ms_per_day: number | null;
    trend_interval_ms_per_day: Interval | null;
    level_changes: { time: string | null; before_ms: number; after_ms: number }[];
  };
  availability: Availability;
}

export type Figure = 'p95' | 'loss' | 'jitter' | 'median' | 'mean' | 'max';

export interface Top extends Precision {
  by: Figure;
  destinations: number;
  without_value: number;
  items: { rank: number; destination_id: number; destination: string; value: number; figures: Figures }[];
}

export interface Hop {
  ttl: number;
  addresses: string[];
  name: string | null;
}

/** A hop over all traces of a way. */
export interface HopFigures extends Hop {
  probes: number;
  answers: number;
  min_ms: number | null;
  median_ms: number | null;
  p95_ms: number | null;
  max_ms: number | null;
}

export interface Outage {
  destination_id: number;
  destination: string;
  start: string;
  end: string | null;
  duration_s: number;
  ongoing: boolean;
  cause: RowStatus | null;
  first_bad: { timestamp: string; position: number; job_id: number; metric: string; status: string; error: string | null } | null;
  last_good_path: { timestamp: string; hops: Hop[] } | null;
}

export interface PathVersion {
  version: number;
  first_seen: string;
  last_seen: string;
  traces: number;
  confirmed: boolean;
  reached: boolean;
  hops: HopFigures[];
}

export interface Paths {
  traces: number;
  is_cut: boolean;
  versions: PathVersion[];
  diff: { before: number; after: number; hops: { ttl: number; before: string[]; after: string[] }[] } | null;
}

export interface Heatmap {
  by: Figure;
  tz: string;
  /** By weekday from Monday, then hour. */
  values: (number | null)[][];
  n: (number | null)[][];
  packets_sent: (number | null)[][];
  relative_error: number;
}

export interface Side {
  destination_id: number;
  destination: string;
  start_time: string;
  end_time: string;
  figures: Figures | null;
  compared: number;
  compared_values: string;
}

export interface Compared {
  side: Side;
  other: Side;
  comparison: {
    p: number;
    effect: number;
    effect_size: 'negligible' | 'small' | 'medium' | 'large' | 'not significant';
    probability_slower: number;
    shift_ms: number;
    shift_interval_ms: Interval | null;
    method: string;
  } | null;
  comparison_not_given: string | null;
}

export interface AnnotationInput {
  title: string;
  text: string | null;
  start_time: string;
  end_time: string | null;
  destinations: (string | number)[];
}

export interface Annotation {
  id: number;
  title: string;
  text: string | null;
  start_time: string;
  end_time: string | null;
  destinations: string[];
  destination_ids: number[];
  tags: string[];
  actor?: string;
  created_at?: string;
}

/** A planned window: accounts of availability leave it out. */
export interface Maintenance extends Omit<Annotation, 'tags'> {
  /** Within the window only in these hours; null for all of it. */
  weekly: Hours | null;
  destination_tags: string[];
}

/** How availability is accounted. */
export interface Accounting {
  retries: number;
  grace_s: number;
  maintenance: 'excluded' | 'counted';
  observer_outages: 'excluded' | 'up' | 'down';
  max_loss_percent: number | null;
  max_p95_ms: number | null;
}

/** One account of a range. */
export interface Account {
  availability_percent: number | null;
  down_s: number;
  outages: number;
  /** Null where no threshold is set. */
  hours: number | null;
  degraded_hours: number | null;
}

/** A range accounted as saved, and as supposed. */
export interface WhatIf {
  items: { destination_id: number; destination: string; recorded: Account; what_if: Account }[];
  total: { recorded: Account; what_if: Account };
}

/** How the figures of two destinations move together. */
export interface Pair {
  destination_id: number;
  other_id: number;
  n: number;
  pearson: { r: number; p: number; interval: { low: number; high: number } | null } | null;
  spearman: { r: number; p: number } | null;
  not_given: string | null;
}

/** The hours of a range beside what is usual at that hour of the week. */
export interface Anomalies {
  anomalous: number;
  threshold: number;
  baseline_hours: number;
  score_not_given: string | null;
  items: { time: string; value: number | null; usual: number | null; spread: number | null; score: number | null; anomalous: boolean }[];
}

/** One probe of a host that nothing is kept of. */
export interface LiveTest {
  metric: string;
  took_ms: number;
  answers: string[];
  status: RowStatus;
  error: string | null;
  echoes_ms: (number | null)[] | null;
  row: Partial<Row> | null;
}

export type ExportFormat = 'xlsx' | 'csv' | 'jsonl' | 'parquet' | 'pack';

/** What is made by a schedule, or when somebody asks. */
export interface ExportInput {
  name: string;
  jobs: string[];
  range: string;
  time_zone: string;
  format: ExportFormat;
  schedule: { at: string[]; weekdays: string[]; month_days: number[] } | null;
  keep: number;
  enabled: boolean;
}

/** One run of an export that has ended. */
export interface ExportRun {
  run: number | null;
  outcome: 'done' | 'failed' | 'cancelled';
  error: string | null;
  finished_at: string;
  start_time: string;
  end_time: string;
  file: string | null;
  href: string | null;
  bytes: number;
  rows: number;
}

export interface ExportJob extends ExportInput {
  id: number;
  state: {
    name: 'idle' | 'queued' | 'running';
    underway: { percent: number } | null;
    next_run: string | null;
    last_run: ExportRun | null;
  };
}

/** What the config file allows, as it counts now. */
export interface Policy {
  limits: { min_interval_s: number; max_destinations: number; max_jobs: number; packets_per_s: number; target_packets_per_s: number };
  targets: { deny: string[]; only: string[]; allow: string[]; local_services: boolean; ports: string[]; deny_ports: string[] };
  retention: { max_bytes: number | null; raw: Record<string, number | null> };
}

export type Role = 'viewer' | 'operator' | 'admin';

/** Who asks, and what they may do. */
export interface Me {
  actor: string;
  role: Role | null;
  csrf: string | null;
  login_needed: boolean;
  setup_needed: boolean;
}

export interface User {
  id: number;
  name: string;
  role: Role;
  has_password: boolean;
  created_at: string;
}

export interface Token {
  id: number;
  name: string;
  user_id: number;
  role: Role;
  created_at: string;
  expires_at: string | null;
  last_used_at: string | null;
  /** The token itself, once. */
  token?: string;
}
