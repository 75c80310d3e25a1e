import type { PreviewRefusal } from './preview-refusal.ts'

/** Allows nothing but the page's own style: the page has the origin of the sandbox's content. */
export const PREVIEW_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

const STYLE = `
:root { color-scheme: light dark; --back: #f6f7f9; --card: #fff; --text: #1d2733; --faint: #5b6878; --edge: #dde2e8; --mark: #0b7285 }
@media (prefers-color-scheme: dark) {
  :root { --back: #12171d; --card: #1a2129; --text: #e6ebf0; --faint: #9aa7b5; --edge: #2a333d; --mark: #66d9e8 }
}
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem; background: var(--back);
  color: var(--text); font: 1rem/1.5 system-ui, sans-serif }
main { width: min(32rem, 100%); padding: 2.25rem; background: var(--card); border: 1px solid var(--edge); border-radius: .75rem }
p { margin: 0 0 1rem }
h1 { margin: 0 0 .75rem; font-size: 1.375rem; line-height: 1.3 }
.status { margin: 0 0 .5rem; color: var(--mark); font-weight: 600; font-size: .875rem; letter-spacing: .03em }
footer { color: var(--faint); font-size: .875rem; border-top: 1px solid var(--edge); padding-top: 1rem; margin-top: 1.5rem }
`

/** Writes the page that explains why there is no preview. It is self-contained and shows nothing that a visitor sent. */
export function previewPage({ error, title, hint }: PreviewRefusal): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${title} · Atoll</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<p class="status">${error.status}</p>
<h1>${title}</h1>
<p>${hint}</p>
<footer>Atoll preview · ${error.code}</footer>
</main>
</body>
</html>
`
}
