// Addresses of the interface. A page's first segment is in PAGES, which the server knows too (src/table.rs): those
// paths are answered with this page, and the rest of the address is read here.

export const PAGES = ['destinations', 'jobs', 'analytics', 'history', 'reports', 'settings', 'login'] as const;

export type Page = (typeof PAGES)[number];
