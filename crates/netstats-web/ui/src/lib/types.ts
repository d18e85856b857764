// The shapes of the API. Times are RFC 3339 in UTC; null is "undefined", never 0.

export type Status = 'up' | 'degraded' | 'down' | 'unknown' | 'paused' | 'suppressed';

export interface Latest {
  status: Status;
  since: string | null;
  last_sample_at: string | null;
  response_time_ms: number | null;
  packet_loss_percent: number | null;
  jitter_ms: number | null;
  position: number | null;
  error: string | null;
  /** Medians of the last 60 bursts, oldest first; null where nothing came back. */
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
