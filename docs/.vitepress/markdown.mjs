// What the site makes of Markdown that is written for every reader of Markdown.
import { isAbsolute, join, normalize, relative } from 'node:path';

const docs = join(import.meta.dirname, '..');

export function plainMarkdown(markdown) {
  showBraces(markdown);
  unlinkPathsOutside(markdown);
}

/** `{{` in code is what it is, and not a template of Vue's. */
function showBraces(markdown) {
  const { code_inline: render } = markdown.renderer.rules;
  markdown.renderer.rules.code_inline = (tokens, index, ...rest) => {
    tokens[index].attrSet('v-pre', '');
    return render(tokens, index, ...rest);
  };
}

/**
 * Where the repository will be is not known here. So a link to a file that is no page of the site
 * (../bench/README.md) leads somewhere in the repository, and on the site its text stands alone.
 */
function unlinkPathsOutside(markdown) {
  markdown.core.ruler.after('inline', 'links-outside', ({ tokens, env }) => {
    for (const { children } of tokens) {
      let isOutside = false;
      for (const token of children ?? []) {
        if (token.type === 'link_open') {
          isOutside = leadsOutside(token.attrGet('href'), env.path);
        }
        if (isOutside && /^link_/.test(token.type)) {
          if (token.type === 'link_close') isOutside = false;
          Object.assign(token, { type: 'text', tag: '', nesting: 0, content: '' });
        }
      }
    }
  });
}

function leadsOutside(href, page) {
  if (/^(\w+:|#|\/)/.test(href) || page === undefined) return false;
  const target = normalize(join(page, '..', decodeURI(href.split('#')[0])));
  const fromDocs = relative(docs, target);
  return fromDocs.startsWith('..') || isAbsolute(fromDocs);
}
