// The smoke chart alone, for the time it takes: perf/run.mjs opens this page and calls `draw`.
import { mount } from 'svelte';
import Chart from './Chart.svelte';
import '../src/app.css';

const target = document.getElementById('app');
if (target) Object.assign(globalThis, mount(Chart, { target }));
