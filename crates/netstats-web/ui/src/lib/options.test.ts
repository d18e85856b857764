import { expect, test } from 'vitest';
import { changedFields, OPTIONS, optionsOf, probeOf, PROBES, rawOptions } from './options';

test('a form that nobody touched says what it says at first', () => {
  const options = optionsOf(rawOptions(null));
  for (const probe of PROBES) {
    expect(options[probe]).toEqual(Object.fromEntries(OPTIONS[probe].map(({ name, initial }) => [name, initial])));
  }
});

test('what is typed becomes what the API takes', () => {
  const raw = rawOptions(null);
  raw.dns = { ...raw.dns, record_types: 'A, AAAA', name: ' example.org ', random_prefix: true };
  raw.http = { ...raw.http, expect_status: '200 204', expect_body: '', port: '8443' };
  raw.bandwidth = { ...raw.bandwidth, max_day_bytes: '0', max_run_bytes: '1,5' };
  const { dns, http, bandwidth } = optionsOf(raw);
  expect(dns).toMatchObject({ record_types: ['A', 'AAAA'], name: 'example.org', random_prefix: true, server: null });
  expect(http).toMatchObject({ expect_status: [200, 204], expect_body: null, port: 8443 });
  expect(bandwidth).toMatchObject({ max_day_bytes: 0, max_run_bytes: 1_500_000 });
  expect(changedFields('dns', raw).map(({ name }) => name)).toEqual(['name', 'record_types', 'random_prefix']);
  expect(changedFields('tcp', raw)).toEqual([]);
});

test('a number that is none is left to the API to refuse', () => {
  const raw = rawOptions(null);
  raw.tcp = { ...raw.tcp, port: 'https' };
  expect(optionsOf(raw)['tcp']).toMatchObject({ port: 'https' });
});

test('a job comes back as it was', () => {
  const options = optionsOf(rawOptions(null));
  options['ping'] = { ...options['ping'], dscp: 46, source: 'eth0' };
  options['bandwidth'] = { ...options['bandwidth'], engine: 'iperf3', max_day_bytes: 30_000_000_000 };
  expect(optionsOf(rawOptions(options))).toEqual(options);
});

test('three metrics are of one probe', () => {
  expect(['ping', 'packet_loss', 'jitter', 'dns', 'traceroute'].map(probeOf)).toEqual(['ping', 'ping', 'ping', 'dns', 'traceroute']);
});
