// The page record with cheerio; `load` is that of cheerio or of cheerio/slim.

const HEADINGS = 'h1, h2, h3, h4, h5, h6';

const text = (node) => node.text().replace(/\s+/g, ' ').trim();

function links($, base, host) {
  const internal = [];
  const external = [];
  const seen = new Set();
  for (const element of $('a[href], area[href]')) {
    let target;
    try {
      target = new URL(element.attribs.href, base);
    } catch {
      continue;
    }
    if (target.protocol !== 'http:' && target.protocol !== 'https:') continue;
    target.hash = '';
    if (seen.has(target.href)) continue;
    seen.add(target.href);
    const link = { url: target.href, text: text($(element)) };
    if (element.attribs.rel) link.rel = element.attribs.rel;
    (target.host === host ? internal : external).push(link);
  }
  return { internal, external };
}

export function extract(load, html, url, status, isFull) {
  const $ = load(html);
  const canonical = $('link[rel=canonical]').attr('href');
  const openGraph = {};
  for (const element of $('meta[property^="og:"]')) {
    openGraph[element.attribs.property] = element.attribs.content;
  }
  const record = {
    url,
    status,
    title: $('title').first().text(),
    description: $('meta[name=description]').attr('content'),
    canonical: canonical && new URL(canonical, url).href,
    language: $('html').attr('lang'),
    headings: $(HEADINGS).get().map((element) => ({ level: +element.name[1], text: text($(element)) })),
    openGraph,
    links: links($, url, new URL(url).host),
  };
  if (isFull) {
    record.images = $('img[src]').get().map((element) => ({
      url: new URL(element.attribs.src, url).href,
      alt: element.attribs.alt,
    }));
    record.jsonLd = $('script[type="application/ld+json"]').get().map((element) => JSON.parse($(element).text()));
    $('script, style, nav, footer').remove();
    record.text = text($('body'));
  }
  return record;
}
