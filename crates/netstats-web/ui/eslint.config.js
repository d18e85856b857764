import js from '@eslint/js';
import svelte from 'eslint-plugin-svelte';
import globals from 'globals';
import ts from 'typescript-eslint';

export default ts.config(
  { ignores: ['dist', 'node_modules', 'tests/shots'] },
  js.configs.recommended,
  ...ts.configs.strict,
  ...svelte.configs.recommended,
  { languageOptions: { globals: { ...globals.browser } } },
  {
    files: ['**/*.svelte', '**/*.svelte.ts'],
    languageOptions: { parserOptions: { parser: ts.parser } },
  },
  {
    files: ['mock/**', 'tests/**', 'perf/**', 'scripts/**', '*.config.*'],
    languageOptions: { globals: { ...globals.node, ...globals.browser } },
  },
  {
    files: ['worker/**'],
    languageOptions: { globals: { ...globals.serviceworker, VERSION: 'readonly', FILES: 'readonly', PAGES: 'readonly' } },
  },
  {
    rules: {
      eqeqeq: 'error',
      'no-console': 'error',
      // Html from strings is how scripts get in.
      'svelte/no-at-html-tags': 'error',
      // Style directives are set through the CSSOM, which the content security policy allows; a style attribute in the
      // markup would be refused by the browser.
      'svelte/no-inline-styles': 'off',
      // Maps that live inside one function or one derived value need no reactivity of their own.
      'svelte/prefer-svelte-reactivity': 'off',
      // `{' '}` keeps a blank between two elements.
      'svelte/no-useless-mustaches': 'off',
      'svelte/require-each-key': 'error',
    },
  },
  { files: ['mock/**', 'tests/**', 'perf/**', 'scripts/**'], rules: { 'no-console': 'off' } },
);
