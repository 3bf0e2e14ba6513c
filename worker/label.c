/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/label.h"

#include "common/utf8.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define LABEL_ROOM (RECORD_NAME_SIZE - 8) /* bytes of a name; the rest is for a number */

/* ISO 639-2, both its kinds, and the ISO 639-1 code that RFC 5646 wants instead. */
static const char shorter[] =
	" aaraa abkab afraf akaak albsq amham araar argan armhy asmas avaav aveae aymay azeaz bakba bambm baqeu belbe benbn "
	"bihbh bisbi bodbo bosbs brebr bulbg burmy catca cescs chach chece chizh chucu chvcv corkw cosco crecr cymcy czecs "
	"danda deude divdv dutnl dzodz ellel engen epoeo estet euseu eweee faofo fasfa fijfj finfi frafr frefr fryfy fulff "
	"geoka gerde glagd glega glggl glvgv greel grngn gujgu hatht hauha hebhe herhz hinhi hmoho hrvhr hunhu hyehy iboig "
	"iceis idoio iiiii ikuiu ileie inaia indid ipkik islis itait javjv jpnja kalkl kankn kasks katka kaukr kazkk khmkm "
	"kikki kinrw kirky komkv konkg korko kuakj kurku laolo latla lavlv limli linln litlt ltzlb lublu luglg macmk mahmh "
	"malml maomi marmr mayms mkdmk mlgmg mltmt monmn mrimi msams myamy nauna navnv nblnr ndend ndong nepne nldnl nnonn "
	"nobnb norno nyany ocioc ojioj orior ormom ossos panpa perfa plipi polpl porpt pusps quequ rohrm ronro rumro runrn "
	"rusru sagsg sansa sinsi slksk slosk slvsl smese smosm snasn sndsd somso sotst spaes sqisq srdsc srpsr sswss sunsu "
	"swasw swesv tahty tamta tattt telte tgktg tgltl thath tibbo tirti tonto tsntn tsots tuktk turtr twitw uigug ukruk "
	"urdur uzbuz venve vievi volvo welcy wlnwa wolwo xhoxh yidyi yoryo zhaza zhozh zulzu";

/* As RFC 5646 has it; what is no tag, or says nothing, is left out. */
static void set_language(char to[36], const char *language)
{
	static const char *const nothing[] = { "und", "mis", "mul", "zxx" };
	char key[5] = " ";
	const char *at;

	if (strspn(language, RECORD_TAG_CHARS) != strlen(language))
		return;
	for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++)
		if (!strcmp(language, nothing[i]))
			return;
	snprintf(to, 36, "%s", language);
	if (strlen(language) != 3)
		return;
	for (int i = 0; i < 3; i++)
		key[i + 1] = (char)tolower((unsigned char)language[i]);
	at = strstr(shorter, key);
	if (at)
		snprintf(to, 36, "%.2s", at + 4);
}

/* What may stand in quotes in a playlist. */
static void set_name(char to[RECORD_NAME_SIZE], const char *name)
{
	size_t at = 0, n = strlen(name), size;

	for (size_t i = 0; i < n && at < LABEL_ROOM; i += size ? size : 1) {
		size = utf8_character(name + i, n - i);
		if (!size || (unsigned char)name[i] < ' ' || name[i] == 0x7f)
			continue;
		if (at + size > LABEL_ROOM)
			break;
		memcpy(to + at, name[i] == '"' ? "'" : name + i, size);
		at += size;
	}
	to[at] = 0;
}

static bool is_taken(const struct record_track *tracks, int i)
{
	for (int k = 0; k < i; k++)
		if (tracks[k].text.is_present == tracks[i].text.is_present && !strcmp(tracks[k].name, tracks[i].name))
			return true;
	return false;
}

void label_track(struct record_track *tracks, int i, const struct track *from)
{
	struct record_track *t = &tracks[i];
	size_t end;

	set_language(t->language, from->language);
	t->is_forced = from->is_forced;
	set_name(t->name, from->name);
	if (!t->name[0])
		snprintf(t->name, sizeof t->name, "%s", t->language[0] ? t->language : t->text.is_present ? "Subtitles" : "Audio");
	end = strlen(t->name);
	for (int n = 2; is_taken(tracks, i); n++)
		snprintf(t->name + end, sizeof t->name - end, " %d", n);
}
